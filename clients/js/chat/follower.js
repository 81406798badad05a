const MOST_HELD = 500; // live messages that wait for the history
const MOST_SEEN = 1000; // ids, to know a message again
const PAGE = 100;

/** The number at the end of `<conversation id>.<sequence>`; NaN for ids that a service makes otherwise. */
function sequenceOf({ conversation_id: id, message }) {
  const hasOne = message.id.startsWith(`${id}.`) && /^\d+$/.test(message.id.slice(id.length + 1));
  return hasOne ? Number(message.id.slice(id.length + 1)) : NaN;
}

/**
 * One conversation's messages, in order: first what the history has, then what was heard meanwhile, then what is live.
 * A live message that does not follow the last one shows that one was missed: then the history is to be asked again.
 */
export class Follower {
  #id;
  #page; // (query) => Promise<{messages, next}>
  #handOut; // ({type, conversation_id, message}) => void
  #last; // the id up to which all was handed out; "" where there was none, null before anybody has looked
  #lastSequence = NaN;
  #seen = new Set();
  #held = [];
  #reading = null;
  #again = false;

  constructor({ conversationId, after, page, handOut }) {
    [this.#id, this.#last, this.#page, this.#handOut] = [conversationId, null, page, handOut];
    if (after) this.#remember(this.#created({ id: after }));
  }

  /** Whether something waits for the history, and nobody asks it. */
  get isBehind() {
    return this.#held.length > 0 && this.#reading === null;
  }

  heard(created) {
    const follows = this.#last !== null && !(sequenceOf(created) > this.#lastSequence + 1);
    if (follows && this.#reading === null) return this.#give(created);
    // What lacks before it was there when it was heard, but need not have been when the page was asked for.
    if (this.#reading !== null && this.#leavesGap(created)) this.#again = true;
    if (this.#held.push(created) <= MOST_HELD) return;
    this.#held = []; // the history has them all
    this.#again = true;
  }

  /** Hand out all that was not. Rejects as `page` does; it may be called again. */
  catchUp() {
    if (this.#reading) this.#again = true;
    else this.#reading = this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #read() {
    let looks = 0;
    do {
      this.#again = false;
      await (this.#last ? this.#readOn() : this.#readBack());
    } while (this.#again || (++looks === 1 && this.#misses())); // what a second look does not find is nowhere
    const held = this.#held.sort((one, other) => sequenceOf(one) - sequenceOf(other) || 0);
    this.#held = [];
    for (const created of held) this.#give(created);
  }

  async #readOn() {
    for (let after = this.#last; after; ) {
      const { messages, next } = await this.#page({ after, limit: PAGE });
      for (const message of messages) this.#give(this.#created(message));
      after = next === after ? null : next;
    }
  }

  /** The latest page; or all of them, when there was none the last time, so that nobody knows what to go on after. */
  async #readBack() {
    const found = [];
    let before;
    do {
      const { messages, next } = await this.#page({ before, limit: PAGE });
      found.unshift(...messages);
      before = this.#last === null ? null : next;
    } while (before);
    if (this.#last === null && !found.length) [this.#last, this.#lastSequence] = ["", 0];
    for (const message of found) this.#give(this.#created(message));
  }

  #leavesGap(created) {
    return sequenceOf(created) > Math.max(this.#lastSequence, ...this.#held.map(sequenceOf)) + 1;
  }

  #misses() {
    return this.#held.some((created) => sequenceOf(created) > this.#lastSequence + 1);
  }

  #created(message) {
    return { type: "message.created", conversation_id: this.#id, message };
  }

  #give(created) {
    if (this.#seen.has(created.message.id) || sequenceOf(created) <= this.#lastSequence) return;
    this.#remember(created);
    this.#handOut(created);
  }

  #remember(created) {
    this.#last = created.message.id;
    this.#lastSequence = sequenceOf(created);
    this.#seen.add(this.#last);
    if (this.#seen.size > MOST_SEEN) this.#seen.delete(this.#seen.values().next().value);
  }
}
