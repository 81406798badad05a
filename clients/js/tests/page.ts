// A page as its types have it: compiled by types.test.js, never run. A line that may not compile says so.
import { CLOSES, ComeBack, GatewaySocket, SendError, type Ended, type State } from "sluicegate-client";
import { Chat, ChatError, type ChatMessage, type Conversation } from "sluicegate-client/chat";
import { useChat } from "sluicegate-client/react";
import { useWebSocket } from "sluicegate-client/vue";

const socket = new GatewaySocket("wss://gateway.example.org/ws", {
  token: async ({ expired }) => (expired ? "fresh" : "token"),
  comeBackAfter: ({ code }) => code === 4321,
});
socket.addEventListener("state", ({ detail }) => void (detail satisfies State));
socket.addEventListener("close", ({ detail }) => void (detail satisfies Ended));
socket.addEventListener("message", ({ detail: { data, message } }) => console.log(data, message?.type));
// @ts-expect-error: no such event
socket.addEventListener("opened", () => {});
// @ts-expect-error: a provider gives text
new GatewaySocket("wss://gateway.example.org/ws", { token: () => 7 });
new GatewaySocket("wss://gateway.example.org/ws", { token: () => "token", ticket: "studio", ticketUrl: "/tickets" });
new GatewaySocket("wss://gateway.example.org/ws", { ticket: async ({ expired }) => (expired ? "another" : "ticket") });
// @ts-expect-error: a route's name, or a provider
new GatewaySocket("wss://gateway.example.org/ws", { ticket: true });
socket.send({ type: "ping" });
socket.send(new Uint8Array(3));
export const kicked: boolean = CLOSES[4001] === ComeBack.NO;

const chat = new Chat("https://gateway.example.org", { token: () => "token", conversationId: "c" });
chat.addEventListener("message", ({ detail: said }) => {
  if (said.type === "message.created") show(said.message);
  else if (said.type === "conversation.typing") console.log(said.user_id, said.state === "on");
});
function show(message: ChatMessage): void {
  const sent: Promise<ChatMessage> = chat.sendChatMessage("c", message.text, { idempotencyKey: "k" });
  sent.catch((error: unknown) => error instanceof ChatError && console.log(error.code, error.idempotencyKey));
}
export async function first(): Promise<Conversation | undefined> {
  const { conversations, next } = await chat.conversations({ limit: 1 });
  console.log(next, (await chat.history("c", { before: "c.7" })).messages.length);
  return conversations[0];
}
export const failure = (error: SendError): boolean => error.code === "queue_full";

const { messages, isConnected, sendChatMessage } = useWebSocket(undefined, { token: () => "token", mostMessages: 50 });
export const shown: string[] = messages.value.map(({ type }) => type);
export const sent: Promise<ChatMessage> | null = isConnected.value ? sendChatMessage("c", "hi") : null;

const used = useChat("https://gateway.example.org", { token: () => "token", keep: ({ type }) => type === "message.created" });
export const last: string | undefined = used.messages.at(-1)?.conversation_id;
export const why: string | undefined = used.error && "reason" in used.error ? used.error.reason : used.error?.message;
