import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { createRenderer, createSSRApp, effectScope, h, watch } from "vue";
import { renderToString } from "vue/server-renderer";
import WebSocket from "ws";
import { useWebSocket } from "../vue.js";
import { ChatService } from "./chat_service.js";

let service;
beforeEach(async () => (service = await new ChatService().start()));
afterEach(() => service.stop());

const options = (more) => ({ WebSocket, token: () => "user.ada", ...more });

/** Until Vue has it so. */
const until = (source) =>
  new Promise((resolve) => {
    const stop = watch(source, (value) => value && (queueMicrotask(() => stop()), resolve()), { immediate: true, flush: "sync" });
  });

/** A component in a tree of plain objects: no DOM is needed to mount and unmount. */
function mounted(setup) {
  const node = () => ({ children: [] });
  const { createApp } = createRenderer({
    createElement: node, createText: node, createComment: node, insert() {}, remove() {}, patchProp() {},
    setElementText() {}, setText() {}, parentNode: () => null, nextSibling: () => null,
  });
  const app = createApp({ setup: () => (setup(), () => h("p")) });
  app.mount(node());
  return app;
}

test("a component is connected, hears a bounded number of messages, and is closed when it goes", async () => {
  const room = service.room("r", "ada", "bob");
  let used;
  const app = mounted(() => (used = useWebSocket(service.url, options({ conversationId: "r", mostMessages: 3 }))));
  assert.equal(used.isConnected.value, false);
  await until(used.isConnected);
  assert.equal((await used.sendChatMessage("r", "1")).text, "1");
  for (const text of ["2", "3", "4"]) service.write(room, "bob", text);
  await until(() => used.messages.value.at(-1)?.message.text === "4");
  assert.deepEqual(used.messages.value.map(({ message }) => message.text), ["2", "3", "4"]);
  used.setTypingState("r", true);
  used.setReadState("r", "r.4");
  used.sendMessage({ type: "read.set", conversation_id: "r", up_to_message_id: "r.4" });
  await used.sendChatMessage("r", "5");
  const heard = service.heard.map(([, { type }]) => type);
  assert.deepEqual(heard, ["message.send", "typing.set", "read.set", "read.set", "typing.set", "message.send"]);
  app.unmount();
  assert.equal(used.state.value, "closed");
  await assert.rejects(used.sendChatMessage("r", "late"), { code: "closed" });
});

test("what ended it is its error, until it is connected again", async () => {
  const scope = effectScope();
  const used = scope.run(() => useWebSocket(service.url, options({ immediate: false })));
  assert.equal(used.state.value, "idle");
  used.connect();
  await until(used.isConnected);
  for (const { socket } of service.sockets) socket.close(4001, "kicked by staff");
  await until(() => used.state.value === "closed");
  assert.deepEqual([used.error.value.code, used.error.value.reason], [4001, "kicked by staff"]);
  used.connect();
  await until(used.isConnected);
  assert.equal(used.error.value, null);
  used.disconnect();
  assert.equal(used.isConnected.value, false);
  assert.equal(used.error.value, null);
  used.connect();
  await until(used.isConnected);
  scope.stop();
  assert.equal(used.state.value, "closed");
});

test("a component that a server renders opens no socket there, which nobody would close", async () => {
  service.room("r", "ada");
  let used;
  await renderToString(createSSRApp({ setup: () => ((used = useWebSocket(service.url, options())), () => h("p")) }));
  assert.equal(used.state.value, "idle");
});
