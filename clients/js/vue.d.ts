import type { ComputedRef, ShallowRef } from "vue";
import type { Chat, ChatOptions, Said } from "./chat.js";
import type { Ended, State } from "./sluicegate.js";

export interface UseWebSocketOptions extends ChatOptions {
  /** Of `messages`; the oldest go. 200 by default. */
  mostMessages?: number;
  /** Which of what the service says belongs to `messages`: all but typing by default. */
  keep?: (said: Said) => boolean;
  /** False leaves it to `connect()`. */
  immediate?: boolean;
}

/** A chat that connects once its component is mounted (in an effect scope at once), and is closed with it. */
export declare function useWebSocket(
  gateway: string | URL | undefined,
  options: UseWebSocketOptions,
): {
  chat: Chat;
  state: ShallowRef<State>;
  isConnected: ComputedRef<boolean>;
  messages: ShallowRef<Said[]>;
  /** The last close or failure; null once it is connected again. */
  error: ShallowRef<Error | Ended | null>;
  connect(): void;
  disconnect(): void;
  sendMessage(message: Parameters<Chat["socket"]["send"]>[0]): void;
  sendChatMessage: Chat["sendChatMessage"];
  setReadState: Chat["setReadState"];
  setTypingState: Chat["setTypingState"];
};
