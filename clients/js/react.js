/**
 * The chat for a React component: `const { chat, messages } = useChat(gateway, { token })`.
 * docs/browser-client.md is the guide.
 * @module
 */
import { useEffect, useReducer, useState } from "react";
import { Chat } from "./chat.js";
import { MOST_MESSAGES, isNoTyping } from "./chat/kept.js";

/**
 * Connects once it is mounted, and is closed with its component. What it is given at first holds.
 *
 * `options` are those of `Chat`; `mostMessages` bounds `messages`, of which the oldest go; `keep` says which of what
 * the service says belongs there: all but typing, unless given.
 */
export function useChat(gateway, options) {
  const [{ chat, mostMessages, keep }] = useState(() => chatOf(gateway, options));
  const [state, setState] = useState(chat.state);
  const [messages, add] = useReducer((last, said) => [...last, said].slice(-mostMessages), []);
  const [error, setError] = useState(null);
  useEffect(() => {
    const unmounting = new AbortController();
    const on = (name, hear) => chat.addEventListener(name, ({ detail }) => hear(detail), { signal: unmounting.signal });
    on("state", setState);
    on("state", (state) => state === "open" && setError(null));
    on("message", (said) => keep(said) && add(said));
    on("error", setError);
    on("close", (ended) => setError(ended.code === 1000 ? null : ended));
    chat.open(); // anew, where StrictMode mounts it twice
    return () => (unmounting.abort(), chat.close());
  }, [chat]);
  return { chat, state, isConnected: state === "open", messages, error };
}

function chatOf(gateway, { mostMessages = MOST_MESSAGES, keep = isNoTyping, ...options }) {
  return { chat: new Chat(gateway, options), mostMessages, keep };
}
