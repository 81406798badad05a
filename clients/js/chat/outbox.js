import { ChatError, isOfKey, isPassing, waitSeconds } from "./errors.js";

const ANSWER_SECONDS = 10; // until a send is repeated
const MOST_UNANSWERED = 6; // repeats on open sockets, before nobody is thought to answer
const MOST_SENDS = 100; // that wait

/** The sends of one user, one under way at a time, each repeated under its key until it is answered. */
export class Outbox {
  #queue = [];
  #transmit;
  #timer;
  #isOpen = false;

  constructor(transmit) {
    this.#transmit = transmit;
  }

  add(send) {
    if (this.#queue.length >= MOST_SENDS)
      throw new ChatError("queue_full", "too many messages wait to be sent", { idempotencyKey: send.idempotency_key });
    return new Promise((resolve, reject) => {
      this.#queue.push({ send, resolve, reject, attempt: 0, unanswered: 0 });
      if (this.#queue.length === 1) this.#sendFirst();
    });
  }

  opened() {
    this.#isOpen = true;
    if (this.#queue.length) this.#queue[0].unanswered = 0;
    this.#sendFirst();
  }

  away() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
  }

  /** A `message.created`; it answers the first send if it has its key. */
  created({ idempotency_key: key, message }) {
    if (this.#isOfFirst(key)) this.#settleFirst(({ resolve }) => resolve(message));
  }

  /** An `error`. One without a key may be about the first send: to repeat that does no harm. */
  failed(error) {
    const first = this.#queue[0];
    const isOfFirst = this.#isOfFirst(error.idempotencyKey) || (isOfKey(error) && first !== undefined);
    if (!isPassing(error)) return isOfFirst && this.#settleFirst(({ reject }) => reject(error));
    if (!first || (!isOfFirst && error.idempotencyKey)) return;
    first.unanswered = 0;
    this.#again(waitSeconds(error, first.attempt++));
  }

  end() {
    this.away();
    for (const { send, reject } of this.#queue.splice(0))
      reject(new ChatError("closed", "not known to be sent", { idempotencyKey: send.idempotency_key }));
  }

  #isOfFirst(key) {
    return key !== undefined && this.#queue[0]?.send.idempotency_key === key;
  }

  #settleFirst(settle) {
    clearTimeout(this.#timer);
    settle(this.#queue.shift());
    this.#sendFirst();
  }

  #again(seconds) {
    clearTimeout(this.#timer);
    if (this.#isOpen) this.#timer = setTimeout(() => this.#sendFirst(), seconds * 1000);
  }

  #sendFirst() {
    const first = this.#queue[0];
    if (!first || !this.#isOpen) return;
    if (first.unanswered++ === MOST_UNANSWERED)
      return this.#settleFirst(({ send, reject }) =>
        reject(new ChatError("unanswered", "nobody answered it", { idempotencyKey: send.idempotency_key })),
      );
    this.#again(ANSWER_SECONDS);
    this.#transmit(first.send);
  }
}
