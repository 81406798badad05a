import { backoffSeconds } from "../sluicegate.js";

/** What did not go well: `code` is the service's or the gateway's, or `closed`, `queue_full`, `unanswered`. */
export class ChatError extends Error {
  constructor(code, message, fields = {}) {
    super(message || code);
    this.name = "ChatError";
    this.code = code;
    Object.assign(this, fields); // status, retryAfterSeconds, conversationId, idempotencyKey, field
  }
}

const SAID_AGAIN = new Set(["rate_limited", "unavailable"]);

/** Whether it may go well in a while. */
export const isPassing = ({ code, status = 0 }) =>
  SAID_AGAIN.has(code) || status === 408 || status === 429 || status >= 500;

/** Whether a send's own idempotency key was refused: then the error cannot name it by that. */
export const isOfKey = ({ field }) => field === "idempotency_key";

/** How long to wait before the next try, from 0: never less than was told. */
export const waitSeconds = ({ retryAfterSeconds }, attempt) =>
  retryAfterSeconds ? retryAfterSeconds * (1 + Math.random() / 4) : backoffSeconds(attempt + 1);

/** Rejects with `closed` when `signal` is aborted. */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const end = (settle) => () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
      settle(new ChatError("closed"));
    };
    const timer = setTimeout(end(resolve), seconds * 1000);
    const aborted = end(reject);
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted);
  });
}
