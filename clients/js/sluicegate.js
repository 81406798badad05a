/**
 * A socket at a Sluicegate gateway that stays: it comes back after what one comes back from, waits as long as it is told
 * to, and says why it stays away from the rest. For browsers, and for Node from 20 on.
 *
 * docs/browser-client.md is the guide, docs/protocol.md what the gateway promises. Durations are seconds.
 * @module
 */

import { NoTicket, buyTicket } from "./socket/tickets.js";
import { Timers } from "./socket/timers.js";

/** What a client does after a close. */
export const ComeBack = Object.freeze({
  NO: "no",
  BACKOFF: "backoff",
  WHEN_TOLD: "when told",
  FRESH_TOKEN: "fresh token",
});

const { NO, BACKOFF, WHEN_TOLD, FRESH_TOKEN } = ComeBack;

/**
 * The codes that the gateway itself closes with (a test holds them to its own table), and below them those that say
 * that nobody closed, or that a service gave up for a while. Any other code is the service's own, and means "no" unless
 * `comeBackAfter` says otherwise.
 */
export const CLOSES = Object.freeze({
  1001: WHEN_TOLD, // the gateway or a member of the pool stops
  1002: NO, // the protocol was broken
  1007: NO, // not UTF-8
  1008: NO, // not permitted; invalid data; message rate; slow consumer
  1009: NO, // a message was too big
  1011: BACKOFF, // the service or the gateway failed
  4001: NO, // kicked by staff
  4003: NO, // blocked
  4008: BACKOFF, // idle
  4009: NO, // replaced by a newer connection
  4010: FRESH_TOKEN, // the token has expired
  4011: NO, // the token was revoked
  4013: WHEN_TOLD, // overloaded, or too many connections
  1005: BACKOFF, // closed without a code
  1006: BACKOFF, // lost, or never opened
  1012: BACKOFF,
  1013: BACKOFF,
  1014: BACKOFF,
});

const LOST = 1006;
const FIRST_WAIT_SECONDS = 0.5;
const LONGEST_WAIT_SECONDS = 30;
const STEADY_SECONDS = 10; // a socket that lived this long was a good one: the next wait begins small again
const REFRESH_AGAIN_SECONDS = 30; // of a token that seems to have expired: this clock may be ahead of the gateway's
const OPEN = 1; // WebSocket.readyState

/** The code that is meant: behind a stock Daphne 4900 to 4914 stand for 1000 to 1014. */
export const meant = (code) => (code >= 4900 && code <= 4914 ? code - 3900 : code);

/** Exponential backoff with full jitter: anything up to half a second, a second, two … half a minute. */
export const backoffSeconds = (attempt, random = Math.random) =>
  random() * Math.min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** Math.min(attempt, 10));

/** The wait that the reason of a 1001 or 4013 names (`restart; retry in 1870 ms`); null for none. */
export function toldSeconds({ code, reason }) {
  const named = CLOSES[meant(code)] === WHEN_TOLD && /\b(\d{1,8}) ms\b/.exec(reason);
  return named ? Number(named[1]) / 1000 : null;
}

/** How long to wait before attempt number `attempt` (from 0) after `close`; never less than was told. */
export function delaySeconds(close, attempt, random = Math.random) {
  const told = toldSeconds(close);
  const backoff = backoffSeconds(attempt, random);
  if (told !== null) return Math.max(told * (1 + random() / 4), attempt ? backoff : 0);
  return CLOSES[meant(close.code)] === FRESH_TOKEN && attempt === 0 ? 0 : backoff;
}

/** When a JSON Web Token expires, in milliseconds since 1970; null when it does not say so. */
function expiryOf(token) {
  try {
    const { exp } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return Number.isFinite(exp) ? exp * 1000 : null;
  } catch {
    return null;
  }
}

/** The JSON object that a text holds; undefined for anything else. */
function objectIn(data) {
  if (typeof data !== "string" || !data.trimStart().startsWith("{")) return undefined;
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

async function asked(provider, what, expired) {
  const given = await provider({ expired });
  if (typeof given !== "string" || !given) throw new TypeError(`the ${what} provider gave no ${what}`);
  return given;
}

const isBinary = (message) => message instanceof ArrayBuffer || ArrayBuffer.isView(message) || message instanceof Blob;
const sizeOf = (data) => (typeof data === "string" ? data.length : (data.byteLength ?? data.size));
const lost = (reason) => ({ code: LOST, reason });

/** A message was not taken: `code` is `queue_full` or `closed`. */
export class SendError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "SendError";
    this.code = code;
  }
}

const DEFAULTS = {
  token: null, // ({expired}) => string | Promise<string>, asked for each attempt
  ticket: null, // a route's name: buy a ticket for each attempt, with the token; or what gives one, as `token` does
  ticketUrl: "/api/tickets", // at the gateway
  tokenIn: "protocol", // or "query": URLs are logged in more places than headers
  query: {},
  protocols: [],
  since: false, // come back for what was missed: the route's topics have a history
  refresh: false, // renew the token on the open socket: the route takes control messages
  ping: null, // what the service answers, such as {type: "ping"}
  pingSeconds: 5, // of silence, until it is sent
  answerSeconds: 5, // of silence after it, until the connection is taken for lost
  connectSeconds: 15, // for token, ticket and handshake together
  servedSeconds: 0.5, // an accepted socket that is refused (`refuse=close`) is closed well before
  queueMessages: 256,
  queueSize: 1 << 20, // characters of texts, bytes of binaries
  comeBackAfter: () => false, // for codes of the service's own
  random: Math.random,
};

/**
 * One connection that is kept, over reconnects, until `close()` or a close from which one does not come back.
 *
 * Events (`detail` in brackets): `state` (the new state), `message` ({data, message}), `gateway` (what the gateway says
 * of itself), `missed` ({reason}: events may be lost, fetch the state anew), `close` ({code, reason, comesBack,
 * delaySeconds, unsent}), `error` (an Error: of the token provider, or of the WebSocket's constructor).
 *
 * States: `idle`, `connecting`, `open` (the service is there), `waiting` (for the next attempt), `closed`.
 */
export class GatewaySocket extends EventTarget {
  #url;
  #options;
  #timers = new Timers();
  #state = "idle";
  #dial = null; // the one attempt or connection there is: {socket, expiresAt, servedAt}
  #attempt = 0;
  #expired = false; // the next token has to be a fresh one
  #told = false; // the gateway named the wait that is running
  #since = "";
  #queue = [];
  #queued = 0; // their size

  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    const { WebSocket, fetch } = globalThis;
    this.#options = { WebSocket, fetch: (...asked) => fetch(...asked), ...DEFAULTS, ...options };
    if (typeof this.#options.ticket === "string" && !this.#options.token)
      throw new TypeError("a ticket is bought with a token: give a provider as options.token");
    if (!this.#options.WebSocket) throw new TypeError("no WebSocket here: give one as options.WebSocket");
  }

  get state() {
    return this.#state;
  }

  /** Connect, and stay connected. Nothing happens when it does already. */
  open() {
    if (this.#state !== "idle" && this.#state !== "closed") return;
    this.#attempt = 0;
    this.#watchNetwork("addEventListener");
    this.#connect();
  }

  /** End it for good; `open()` begins anew. No timer and no listener is left. */
  close(code = 1000, reason = "") {
    if (this.#state === "closed" || this.#state === "idle") return;
    this.#dial?.socket?.close(code, reason); // throws for what is no code
    this.#dial?.asking.abort();
    this.#dial = null;
    this.#finish({ code, reason });
  }

  /**
   * Send a text, a binary, or anything else as JSON. While away it is queued, and goes out first when the service is there.
   * What was on its way when a connection is lost may be lost with it: only an answer of the service tells.
   * @throws {SendError} `queue_full`: more waits than may; `closed`: nobody is going to send it.
   */
  send(message) {
    if (this.#state === "closed") throw new SendError("closed", "the socket is closed");
    const data = typeof message === "string" || isBinary(message) ? message : JSON.stringify(message);
    const socket = this.#state === "open" && this.#dial.socket.readyState === OPEN ? this.#dial.socket : null;
    const waiting = socket ? socket.bufferedAmount : this.#queued;
    const isFull = waiting + sizeOf(data) > this.#options.queueSize;
    if (isFull || this.#queue.length >= this.#options.queueMessages)
      throw new SendError("queue_full", "more waits to be sent than may");
    if (socket) return socket.send(data);
    this.#queue.push(data);
    this.#queued += sizeOf(data);
  }

  async #connect() {
    const dial = { asking: new AbortController(), socket: null, expiresAt: null, servedAt: null };
    this.#dial = dial;
    this.#timers.set("connect", this.#options.connectSeconds, () => this.#ended(dial, lost("no answer in time")));
    this.#become("connecting");
    if (this.#dial !== dial) return; // a listener has closed it
    try {
      const shown = await this.#askFor(dial);
      if (this.#dial === dial) this.#listenTo(dial, this.#dialled(shown));
    } catch (error) {
      if (this.#dial !== dial) return;
      if (error instanceof NoTicket) return this.#ended(dial, error.close); // as a refusal of the socket
      this.#tell("error", error);
      this.#ended(dial, lost(`no attempt was possible: ${error?.message ?? error}`)); // which a page may show alone
    }
  }

  /** What one attempt shows: a ticket, or else the token. */
  async #askFor(dial) {
    const { ticket, ticketUrl, fetch } = this.#options;
    const isGiven = typeof ticket === "function";
    const given = await (isGiven ? asked(ticket, "ticket", this.#expired) : this.#askForToken(this.#expired));
    if (this.#dial !== dial) return {};
    this.#expired = false;
    if (isGiven) return { ticket: given };
    dial.expiresAt = expiryOf(given);
    if (!ticket) return { token: given };
    const url = new URL(ticketUrl, this.#url.href.replace(/^ws/, "http"));
    return { ticket: await buyTicket(url, { route: ticket, token: given, fetch, signal: dial.asking.signal }) };
  }

  async #askForToken(expired) {
    const { token: provider } = this.#options;
    return provider ? asked(provider, "token", expired) : "";
  }

  #dialled({ ticket, token }) {
    const { WebSocket, query, since, tokenIn, protocols } = this.#options;
    const url = new URL(this.#url);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    url.searchParams.set("refuse", "close");
    if (since) url.searchParams.set("since", this.#since);
    const fits = token && tokenIn === "protocol" && /^[\w.~+-]+$/.test(token);
    if (ticket) url.searchParams.set("ticket", ticket);
    if (token && !fits) url.searchParams.set("token", token);
    return new WebSocket(url.href, fits ? ["bearer", token, ...protocols] : [...protocols]);
  }

  #listenTo(dial, socket) {
    dial.socket = socket;
    socket.binaryType = "arraybuffer";
    let opened = false;
    socket.onopen = () => {
      opened = true;
      if (this.#dial === dial) this.#accepted(dial);
    };
    socket.onmessage = ({ data }) => this.#dial === dial && this.#heard(dial, data);
    socket.onerror = () => opened || this.#ended(dial, lost("could not connect")); // Node 20 raises no close after it
    socket.onclose = ({ code, reason }) => this.#ended(dial, { code, reason });
  }

  /** Accepted, which may still be to be refused: whoever is served hears something, or is not closed. */
  #accepted(dial) {
    this.#timers.cancel("connect");
    this.#timers.set("served", this.#options.servedSeconds, () => this.#served(dial));
    this.#probe();
  }

  #served(dial) {
    if (dial.servedAt !== null) return;
    dial.servedAt = Date.now();
    this.#timers.cancel("served");
    this.#planRefresh(dial);
    const waiting = this.#takeQueue();
    for (const data of waiting) dial.socket.send(data); // before anything that a listener sends
    this.#become("open");
  }

  #heard(dial, data) {
    this.#timers.cancel("answer");
    if (this.#options.ping) this.#timers.set("ping", this.#options.pingSeconds, () => this.#probe());
    this.#served(dial);
    if (this.#dial !== dial) return; // a listener has closed it
    const message = objectIn(data);
    if (this.#options.since && typeof message?.since === "string") this.#since = message.since;
    if (this.#options.ping && message?.type === "pong") return;
    if (String(message?.type).startsWith("gateway.")) this.#gatewaySaid(dial, message);
    else this.#tell("message", { data, message });
  }

  #gatewaySaid(dial, message) {
    this.#tell("gateway", message);
    if (message.type === "gateway.refreshed") {
      dial.expiresAt = Date.parse(message.expires_at) || null;
      this.#planRefresh(dial);
    } else if (message.type === "gateway.recovered" && !message.recovered) {
      this.#tell("missed", { reason: message.reason });
    } else if (message.type === "gateway.resync") {
      if (this.#since) this.#ended(dial, lost("back for what was missed"));
      else this.#tell("missed", { reason: message.reason ?? "resync" });
    }
  }

  /** Ask for a sign of life, unless that has been done and its time runs. */
  #probe() {
    const dial = this.#dial;
    if (!this.#options.ping || this.#timers.has("answer") || dial?.socket?.readyState !== OPEN) return;
    this.#timers.set("answer", this.#options.answerSeconds, () => this.#ended(dial, lost("no answer to a ping")));
    dial.socket.send(JSON.stringify(this.#options.ping));
  }

  /** A new token after three quarters of the time that is left of the old one; what fails is tried again so. */
  #planRefresh(dial) {
    if (!this.#options.refresh || dial.expiresAt === null || this.#dial !== dial) return;
    const leftSeconds = (dial.expiresAt - Date.now()) / 1000;
    const waitSeconds = leftSeconds > 0 ? Math.max(1, leftSeconds * 0.75) : REFRESH_AGAIN_SECONDS;
    this.#timers.set("refresh", waitSeconds, () => this.#refresh(dial));
  }

  async #refresh(dial) {
    try {
      const token = await this.#askForToken(false);
      if (this.#dial === dial) dial.socket.send(JSON.stringify({ type: "gateway.refresh", token }));
    } catch (error) {
      if (this.#dial === dial) this.#tell("error", error);
    }
    this.#planRefresh(dial); // until a gateway.refreshed says otherwise
  }

  /** The end of one attempt or connection: come back, or not. Only the first that is said of it counts. */
  #ended(dial, close) {
    if (this.#dial !== dial) return;
    this.#dial = null;
    this.#timers.clear();
    dial.asking.abort();
    dial.socket?.close();
    const comeBack = CLOSES[meant(close.code)] ?? (this.#options.comeBackAfter(close) ? BACKOFF : NO);
    if (comeBack === NO) return this.#finish(close);
    if (dial.servedAt !== null && Date.now() - dial.servedAt >= STEADY_SECONDS * 1000) this.#attempt = 0;
    const delay = delaySeconds(close, this.#attempt++, this.#options.random);
    this.#expired ||= comeBack === FRESH_TOKEN;
    this.#told = toldSeconds(close) !== null;
    this.#timers.set("retry", delay, () => this.#connect());
    this.#become("waiting", { ...close, comesBack: true, delaySeconds: delay, unsent: [] });
  }

  #finish(close) {
    this.#timers.clear();
    this.#watchNetwork("removeEventListener");
    this.#become("closed", { ...close, comesBack: false, delaySeconds: null, unsent: this.#takeQueue() });
  }

  #takeQueue() {
    const waiting = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    return waiting;
  }

  /** All is as it will be before anybody is told: listeners may call anything. */
  #become(state, close) {
    this.#state = state;
    if (close) this.#tell("close", close);
    if (this.#state === state) this.#tell("state", state);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #watchNetwork(how) {
    globalThis[how]?.("online", this.#networkIsBack);
    globalThis[how]?.("offline", this.#networkMayBeGone);
    globalThis.document?.[how]("visibilitychange", this.#pageIsShown);
  }

  #networkMayBeGone = () => this.#probe();

  /** Whoever was told when to come back keeps to it; all others need not sit out a backoff. */
  #networkIsBack = () => {
    this.#probe();
    if (this.#state !== "waiting" || this.#told) return;
    this.#timers.set("retry", backoffSeconds(0, this.#options.random), () => this.#connect());
  };

  #pageIsShown = () => globalThis.document.visibilityState === "visible" && this.#networkIsBack();
}
