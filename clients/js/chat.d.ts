import type { Ended, GatewayMessage, GatewaySocket, SocketOptions, State, Tells, TokenProvider } from "./sluicegate.js";

export interface ChatMessage {
  /** Opaque; unique in the chat. */
  id: string;
  sender_id: string;
  text: string;
  /** Seconds since 1970. */
  created_at: number;
}

export interface MessageCreated {
  type: "message.created";
  conversation_id: string;
  message: ChatMessage;
  /** Only for the sender. */
  idempotency_key?: string;
}
export interface MessageRead {
  type: "message.read";
  conversation_id: string;
  user_id: string;
  up_to_message_id: string;
  read_at: number;
}
export interface ConversationTyping {
  type: "conversation.typing";
  conversation_id: string;
  user_id: string;
  state: "on" | "off";
}
export interface ConversationBlocked {
  type: "conversation.blocked";
  conversation_id: string;
  by_user_id: string;
  target_user_id: string;
}
/** No block keeps the two apart any more. */
export interface ConversationUnblocked {
  type: "conversation.unblocked";
  conversation_id: string;
  by_user_id: string;
  target_user_id: string;
}
export interface ConversationChanged {
  type: "conversation.changed";
  conversation_id: string;
  participants: string[];
}
/** What staff say, as plain text, for people to read. */
export interface StaffMessage {
  type: "staff.message";
  text: string;
  /** It is of none. */
  conversation_id?: undefined;
}
/** What the service says, and staff. */
export type Said =
  | StaffMessage
  | MessageCreated
  | MessageRead
  | ConversationTyping
  | ConversationBlocked
  | ConversationUnblocked
  | ConversationChanged;

export interface Conversation {
  id: string;
  participants: string[];
  unread: number;
  last_message: ChatMessage | null;
  /** Up to which message each participant has read. */
  read: Record<string, string>;
}

export interface ChatEvents {
  message: CustomEvent<Said>;
  /** All that was said until now in this conversation was handed out. */
  current: CustomEvent<{ conversationId: string }>;
  state: CustomEvent<State>;
  close: CustomEvent<Ended>;
  gateway: CustomEvent<GatewayMessage>;
  /** Something may have been missed: ask for `conversations()` anew. Conversations that are followed lack nothing. */
  missed: CustomEvent<{ reason: string }>;
  /** Of a history that is refused (with `conversationId`), of read states and typing, or of the token provider. */
  error: CustomEvent<Error & { code?: string; conversationId?: string }>;
}

/** The socket's; `ping` is `{type: "ping"}` and `refresh` true, unless given. */
export interface ChatOptions extends Omit<SocketOptions, "token"> {
  token: TokenProvider;
  /** Hear, and follow, this conversation alone. */
  conversationId?: string;
  /** `/v1/chat/ws` and `/api/chat`, unless they are elsewhere. */
  path?: string;
  api?: string;
}

/** `code`: the service's or the gateway's (`access_denied`, `blocked`, `content_refused` …), or one of those named here. */
export declare class ChatError extends Error {
  readonly code: "closed" | "queue_full" | "unanswered" | "unavailable" | "unexpected_answer" | (string & {});
  readonly status?: number;
  readonly retryAfterSeconds?: number;
  readonly conversationId?: string;
  /** Which of a message was wrong, where `code` is `validation_error`. */
  readonly field?: string;
  /** Of a send: whoever sends it again gives it, and it is stored once. */
  readonly idempotencyKey?: string;
}

export interface Chat extends Tells<ChatEvents> {}

/** The user's chat, over one socket and the gateway's HTTP history. */
export declare class Chat {
  /** `gateway`: its origin; the page's own by default. */
  constructor(gateway: string | URL | undefined, options: ChatOptions);
  readonly socket: GatewaySocket;
  readonly state: State;
  open(): void;
  /** End it for good. Sends that are not known to be stored reject with `closed`. */
  close(): void;
  /** Hand out its messages in order, without a gap: those after the id `after`, or its latest page; then what is live. */
  follow(conversationId: string, options?: { after?: string }): void;
  unfollow(conversationId: string): void;
  /** Its message, once the service has it. Rejects with a ChatError. */
  sendChatMessage(conversationId: string, text: string, options?: { idempotencyKey?: string }): Promise<ChatMessage>;
  /** All up to this message was read. Throws a ChatError (`queue_full`) when too many wait. */
  setReadState(conversationId: string, upToMessageId: string): void;
  /** With true at each key; it falls silent by itself. */
  setTypingState(conversationId: string, isTyping: boolean): void;
  /** A page, oldest first: the latest, or what came before the id `before`; `next` is the next `before`, or null. */
  history(
    conversationId: string,
    query?: { before?: string; after?: string; limit?: number },
  ): Promise<{ messages: ChatMessage[]; next: string | null }>;
  conversations(query?: {
    before?: string;
    limit?: number;
  }): Promise<{ conversations: Conversation[]; next: string | null }>;
  createConversation(participants: string[]): Promise<{ id: string; participants: string[] }>;
  /** Any other request, such as `request("POST", "/blocks", {body: {user_id: "bob"}})`; the parsed answer, or null. */
  request(
    method: string,
    path: string,
    options?: { query?: Record<string, string | number | null | undefined>; body?: object },
  ): Promise<any>;
}
