/** What a client does after a close. */
export declare const ComeBack: {
  readonly NO: "no";
  readonly BACKOFF: "backoff";
  readonly WHEN_TOLD: "when told";
  readonly FRESH_TOKEN: "fresh token";
};
export type ComeBack = (typeof ComeBack)[keyof typeof ComeBack];

/** The table of close codes; what is not in it is the service's own. */
export declare const CLOSES: Readonly<Record<number, ComeBack>>;

/** How a connection ended. 1005: without a code. 1006: lost, or never opened. */
export interface Close {
  code: number;
  reason: string;
}

export interface Ended extends Close {
  /** Whether the client comes back by itself. */
  comesBack: boolean;
  /** How long until its next attempt; null where there is none. */
  delaySeconds: number | null;
  /** What waited and is not going to be sent, when it does not come back. */
  unsent: (string | ArrayBuffer | ArrayBufferView | Blob)[];
}

/** `waiting`: for its next attempt. `closed`: for good, until `open()`. */
export type State = "idle" | "connecting" | "open" | "waiting" | "closed";

/** Asked for each attempt. `expired`: the last one is, so that it has to be a fresh one. */
export type TokenProvider = (asked: { expired: boolean }) => string | Promise<string>;

export interface Heard {
  /** What came: text, or a binary. */
  data: string | ArrayBuffer;
  /** The JSON object that the text is; undefined for anything else. */
  message?: any;
}

/** Of the gateway itself: its `type` begins with `gateway.`. */
export interface GatewayMessage {
  type: string;
  [field: string]: unknown;
}

export interface SocketEvents {
  state: CustomEvent<State>;
  message: CustomEvent<Heard>;
  gateway: CustomEvent<GatewayMessage>;
  /** Events may have been lost: fetch the state anew. */
  missed: CustomEvent<{ reason: string }>;
  close: CustomEvent<Ended>;
  /** What the provider of tokens or tickets threw, `fetch`, or the WebSocket's constructor. */
  error: CustomEvent<Error>;
}

/** Durations are seconds. */
export interface SocketOptions {
  token?: TokenProvider | null;
  /**
   * Show a one-time ticket in place of the token: the name of the route, to buy one with the token for each attempt; or
   * what gives one that somebody else has bought, asked for each attempt.
   */
  ticket?: string | TokenProvider | null;
  /** Where tickets are bought; `/api/tickets` of the gateway unless it is another place. */
  ticketUrl?: string | URL;
  /** To buy tickets with; the global one unless it is another. */
  fetch?: typeof fetch;
  /** Where the token stands. `protocol` (the default) keeps it out of URLs, which are logged in more places than headers. */
  tokenIn?: "protocol" | "query";
  query?: Record<string, string>;
  protocols?: string[];
  /** Come back for what was missed: the route has topics with a history. */
  since?: boolean;
  /** Renew the token on the open socket: the route takes control messages. */
  refresh?: boolean;
  /** What the service answers, whatever with; its `pong` is not handed on. Without one nobody notices a silent network. */
  ping?: object | null;
  /** Of silence, until `ping` is sent. */
  pingSeconds?: number;
  /** Of silence after it, until the connection is taken for lost. */
  answerSeconds?: number;
  /** For token, ticket and handshake together. */
  connectSeconds?: number;
  /** After which an accepted socket is taken for a served one, if nothing was heard. */
  servedSeconds?: number;
  /** Bounds of what waits while away; `queueSize` in characters and bytes. Beyond them `send()` throws. */
  queueMessages?: number;
  queueSize?: number;
  /** Whether to come back after a code of the service's own. */
  comeBackAfter?: (close: Close) => boolean;
  /** For Node 20, which has none of its own. */
  WebSocket?: any;
  random?: () => number;
}

/** A message was not taken. */
export declare class SendError extends Error {
  readonly code: "queue_full" | "closed";
}

/** An EventTarget that knows its events. */
export interface Tells<Events> {
  addEventListener<Name extends keyof Events>(
    name: Name,
    listener: (event: Events[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void;
}

export interface GatewaySocket extends Tells<SocketEvents> {}

/** One connection that is kept, over reconnects, until `close()` or a close from which one does not come back. */
export declare class GatewaySocket {
  constructor(url: string | URL, options?: SocketOptions);
  readonly state: State;
  open(): void;
  close(code?: number, reason?: string): void;
  /** Texts and binaries as they are, anything else as JSON. Throws SendError. */
  send(message: string | ArrayBuffer | ArrayBufferView | Blob | object): void;
}

export declare function meant(code: number): number;
export declare function backoffSeconds(attempt: number, random?: () => number): number;
export declare function toldSeconds(close: Close): number | null;
export declare function delaySeconds(close: Close, attempt: number, random?: () => number): number;
