/**
 * The chat over a Sluicegate: what is sent is stored once and in the order of its sender, what is heard has no gap and
 * nothing twice, over reconnects and restarts. docs/browser-client.md is the guide.
 * @module
 */
import { ChatError, isOfKey, isPassing, sleep, waitSeconds } from "./chat/errors.js";
import { Follower } from "./chat/follower.js";
import { Http } from "./chat/http.js";
import { Outbox } from "./chat/outbox.js";
import { Typing } from "./chat/typing.js";
import { GatewaySocket, SendError } from "./sluicegate.js";

export { ChatError };

const MOST_READS = 100; // conversations whose read state waits
const RECENT_SECONDS = 30; // in which a lost connection is noticed: what was said since is said again

/**
 * The user's chat, over one socket and the gateway's HTTP history.
 *
 * Events (`detail` in brackets): `message` (what the service says, as it says it: of conversations that are followed each
 * `message.created` once, in order, without a gap), `current` ({conversationId}: all up to now was handed out), `error` (a
 * ChatError of what was no send, or what a token provider threw), and those of the socket: `state`, `close`, `gateway`,
 * `missed` (ask for `conversations()` anew).
 */
export class Chat extends EventTarget {
  #http;
  #provider;
  #token = ""; // the last one, for HTTP
  #ending = new AbortController();
  #followers = new Map();
  #reads = new Map(); // conversation -> {upTo, saidAt}; saidAt: when it was first said, or null
  #readsTimer;
  #outbox = new Outbox((send) => this.#sayNow(send));
  #typing = new Typing((conversation_id, state) => this.#sayNow({ type: "typing.set", conversation_id, state }));

  /** `gateway` is its origin. `token` has to be a provider; the other options are in chat.d.ts, and the socket's. */
  constructor(gateway = globalThis.location?.origin, options = {}) {
    super();
    const { path = "/v1/chat/ws", api = "/api/chat", conversationId, fetch, token, query, ...rest } = options;
    if (typeof token !== "function") throw new TypeError("options.token has to be a function");
    this.#provider = token;
    this.#http = new Http({
      base: new URL(api, gateway).href.replace(/^ws/, "http"),
      fetch: fetch ?? ((...request) => globalThis.fetch(...request)),
      token: ({ expired }) => (!expired && this.#token) || this.#newToken({ expired }),
    });
    this.socket = new GatewaySocket(new URL(path, gateway), {
      ping: { type: "ping" },
      refresh: true,
      ...rest,
      ...(fetch && { fetch }),
      query: { ...query, ...(conversationId && { conversation_id: conversationId }) },
      token: (asked) => this.#newToken(asked),
    });
    if (conversationId) this.follow(conversationId);
    this.#listen();
  }

  #listen() {
    this.socket.addEventListener("state", ({ detail }) => this.#became(detail));
    this.socket.addEventListener("message", ({ detail }) => detail.message && this.#hear(detail.message));
    this.socket.addEventListener("missed", () => this.#became(this.state)); // the histories know
    for (const name of ["state", "close", "gateway", "missed", "error"])
      this.socket.addEventListener(name, ({ detail }) => this.#tell(name, detail));
  }

  get state() {
    return this.socket.state;
  }

  open() {
    this.socket.open();
  }

  /** End it for good. Sends that are not known to be stored reject with `closed`; no timer is left. */
  close() {
    this.socket.close();
    this.#end(); // of one that was never open, too
  }

  /** Hand out this conversation's messages in order: those after the id `after`, or its latest page; then what is live. */
  follow(conversationId, { after } = {}) {
    if (this.#followers.has(conversationId)) return;
    const isFollowed = () => this.#followers.get(conversationId) === follower;
    const page = (query) => this.#pageInTime(conversationId, query, isFollowed);
    const handOut = (said) => isFollowed() && this.#tell("message", said);
    const follower = new Follower({ conversationId, after, page, handOut });
    this.#followers.set(conversationId, follower);
    if (this.state === "open") this.#catchUp(conversationId);
  }

  unfollow(conversationId) {
    this.#followers.delete(conversationId);
  }

  /**
   * The message, once the service has it; until then it is sent again under its key, after reconnects, too. Rejects with a
   * ChatError: the service's code, or `closed`, `queue_full`, `unanswered`. Whoever sends it again gives its `idempotencyKey`.
   */
  async sendChatMessage(conversationId, text, { idempotencyKey = newKey() } = {}) {
    if (this.state === "closed") throw new ChatError("closed", "the chat is closed", { idempotencyKey });
    this.#typing.off(conversationId);
    return this.#outbox.add({
      type: "message.send",
      conversation_id: conversationId,
      text,
      idempotency_key: idempotencyKey,
    });
  }

  /** Tell that all up to this message was read; while away, the last of each conversation is kept. */
  setReadState(conversationId, upToMessageId) {
    this.#reads.delete(conversationId);
    this.#dropReads(MOST_READS - 1);
    if (this.#reads.size >= MOST_READS) throw new ChatError("queue_full", "too many read states wait", { conversationId });
    this.#reads.set(conversationId, { upTo: upToMessageId, saidAt: null });
    if (this.state === "open") this.#sayRead(conversationId);
  }

  /** Call it with true at each key; it falls silent by itself, with false, and with a send. */
  setTypingState(conversationId, isTyping) {
    if (isTyping && this.state === "open") this.#typing.on(conversationId);
    else this.#typing.off(conversationId);
  }

  /** A page of what came before the id `before`, or the latest: {messages, next}; `next` is the next `before`, or null. */
  history(conversationId, query = {}) {
    return this.request("GET", `/conversations/${encodeURIComponent(conversationId)}/messages`, { query });
  }

  conversations(query = {}) {
    return this.request("GET", "/conversations", { query });
  }

  createConversation(participants) {
    return this.request("POST", "/conversations", { body: { participants } });
  }

  /** Any other request to the chat's HTTP side; the parsed answer. Rejects with a ChatError. */
  request(method, path, { query, body } = {}) {
    return this.#http.request(method, path, { query, body, signal: this.#ending.signal });
  }

  async #newToken(asked) {
    const token = await this.#provider(asked);
    this.#token = token;
    return token;
  }

  #hear(said) {
    if (said.type === "ping") return this.#sayNow({ type: "pong" });
    if (said.type === "error") return this.#failed(said);
    if (said.type !== "message.created") return this.#tell("message", said);
    const follower = this.#followers.get(said.conversation_id);
    if (!follower) this.#tell("message", said);
    follower?.heard(said);
    this.#outbox.created(said);
    if (follower?.isBehind) this.#catchUp(said.conversation_id);
  }

  #failed({ code, message, field, idempotency_key: idempotencyKey, retry_after_ms: told }) {
    const retryAfterSeconds = told > 0 ? told / 1000 : undefined;
    const error = new ChatError(code, message, { field, idempotencyKey, retryAfterSeconds });
    this.#outbox.failed(error);
    if (idempotencyKey || isOfKey(error)) return; // its send tells
    if (code === "rate_limited") this.#sayReadsIn(waitSeconds(error, 0));
    this.#tell("error", error);
  }

  #became(state) {
    if (state === "open") {
      for (const conversationId of this.#followers.keys()) this.#catchUp(conversationId);
      this.#outbox.opened();
      this.#sayReads();
    } else if (state === "closed") this.#end();
    else this.#away();
  }

  #away() {
    clearTimeout(this.#readsTimer);
    this.#outbox.away();
    this.#typing.end();
  }

  #end() {
    this.#away();
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#outbox.end();
  }

  async #catchUp(conversationId) {
    const follower = this.#followers.get(conversationId);
    const isFollowed = () => this.#followers.get(conversationId) === follower;
    try {
      await follower.catchUp();
      if (isFollowed()) this.#tell("current", { conversationId });
    } catch (error) {
      if (error.code === "closed" || !isFollowed()) return; // the next open socket asks anew
      this.#followers.delete(conversationId);
      this.#tell("error", Object.assign(error, { conversationId }));
    }
  }

  /** A page of history, however long that takes; rejects when it is refused for good, and with `closed`. */
  async #pageInTime(conversationId, query, isFollowed) {
    const { signal } = this.#ending;
    for (let attempt = 0; isFollowed(); attempt++) {
      try {
        return await this.history(conversationId, query);
      } catch (error) {
        const isProviders = !(error instanceof ChatError); // who has no token now may have one later
        if (isProviders) this.#tell("error", error);
        else if (!isPassing(error)) throw error;
        await sleep(waitSeconds(isProviders ? {} : error, attempt), signal);
      }
    }
    throw new ChatError("closed", "nobody follows it");
  }

  #sayReads() {
    this.#dropReads(MOST_READS);
    for (const conversationId of this.#reads.keys()) this.#sayRead(conversationId);
  }

  #sayRead(conversation_id) {
    const read = this.#reads.get(conversation_id);
    read.saidAt ??= Date.now();
    this.#sayNow({ type: "read.set", conversation_id, up_to_message_id: read.upTo });
  }

  #sayReadsIn(seconds) {
    clearTimeout(this.#readsTimer);
    this.#readsTimer = setTimeout(() => this.#sayReads(), seconds * 1000);
  }

  /** Of those that were said the old ones, and as many as are more than `most`. */
  #dropReads(most) {
    const recent = Date.now() - RECENT_SECONDS * 1000;
    for (const [conversationId, { saidAt }] of this.#reads)
      if (saidAt !== null && (saidAt < recent || this.#reads.size > most)) this.#reads.delete(conversationId);
  }

  /** What is of no use later, or is said again by who says it. */
  #sayNow(message) {
    if (this.state !== "open") return;
    try {
      this.socket.send(message);
    } catch (error) {
      if (!(error instanceof SendError)) throw error;
      this.#tell("error", new ChatError(error.code, error.message)); // a network that takes nothing any more
    }
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** 128 bits; `randomUUID` is for pages of https alone. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
