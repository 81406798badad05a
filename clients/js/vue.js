/**
 * The chat for a Vue 3 component: `const { messages, sendChatMessage } = useWebSocket(gateway, { token })`.
 * docs/browser-client.md is the guide.
 * @module
 */
import { computed, getCurrentInstance, onMounted, onScopeDispose, shallowRef } from "vue";
import { Chat } from "./chat.js";
import { MOST_MESSAGES, isNoTyping } from "./chat/kept.js";

/**
 * Connects once its component is mounted (in an effect scope at once), and is closed with it.
 *
 * `options` are those of `Chat`; `mostMessages` bounds `messages`, of which the oldest go; `keep` says which of what
 * the service says belongs there: all but typing, unless given; `immediate: false` leaves it to `connect()`.
 */
export function useWebSocket(gateway, options) {
  const { mostMessages = MOST_MESSAGES, keep = isNoTyping, immediate = true, ...rest } = options;
  const chat = new Chat(gateway, rest);
  const state = shallowRef(chat.state);
  const messages = shallowRef([]);
  const error = shallowRef(null);
  chat.addEventListener("state", ({ detail }) => {
    state.value = detail;
    if (detail === "open") error.value = null;
  });
  chat.addEventListener("message", ({ detail }) => {
    if (keep(detail)) messages.value = [...messages.value, detail].slice(-mostMessages);
  });
  chat.addEventListener("error", ({ detail }) => (error.value = detail));
  chat.addEventListener("close", ({ detail }) => (error.value = detail.code === 1000 ? null : detail));
  onScopeDispose(() => chat.close());
  if (immediate && getCurrentInstance()) onMounted(() => chat.open()); // which is none where a server renders it
  else if (immediate) chat.open();
  return {
    chat,
    state,
    isConnected: computed(() => state.value === "open"),
    messages,
    error,
    connect: () => chat.open(),
    disconnect: () => chat.close(),
    sendMessage: (message) => chat.socket.send(message),
    sendChatMessage: (...send) => chat.sendChatMessage(...send),
    setReadState: (...read) => chat.setReadState(...read),
    setTypingState: (...typing) => chat.setTypingState(...typing),
  };
}
