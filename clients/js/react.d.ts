import type { Chat, ChatOptions, Said } from "./chat.js";
import type { Ended, State } from "./sluicegate.js";

export interface UseChatOptions extends ChatOptions {
  /** Of `messages`; the oldest go. 200 by default. */
  mostMessages?: number;
  /** Which of what the service says belongs to `messages`: all but typing by default. */
  keep?: (said: Said) => boolean;
}

/** A chat that connects once its component is mounted, and is closed with it. What it is given at first holds. */
export declare function useChat(
  gateway: string | URL | undefined,
  options: UseChatOptions,
): {
  chat: Chat;
  state: State;
  isConnected: boolean;
  messages: Said[];
  /** The last close or failure; null once it is connected again. */
  error: Error | Ended | null;
};
