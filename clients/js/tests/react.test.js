// docs/browser-client.md's example for React, as it stands there.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createElement } from "react";
import { act, create } from "react-test-renderer";
import WebSocket from "ws";
import { ChatService } from "./chat_service.js";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

async function hookOfTheGuide(t) {
  const guide = readFileSync(new URL("../../../docs/browser-client.md", import.meta.url), "utf8");
  const [, example] = /^```js react\n(.*?)^```$/ms.exec(guide);
  const directory = mkdtempSync(join(tmpdir(), "react-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "example.mjs");
  const urls = { react: import.meta.resolve("react"), "sluicegate-client/chat": import.meta.resolve("../chat.js") };
  writeFileSync(file, example.replace(/ from "(.*?)"/g, (_, name) => ` from "${urls[name]}"`));
  return (await import(file)).useChat;
}

test("the example for React shows what is said, and ends with its component", async (t) => {
  const service = await new ChatService().start();
  t.after(() => service.stop());
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  const useChat = await hookOfTheGuide(t);
  const options = { WebSocket, token: () => "user.ada", conversationId: "r" };
  let used;
  const Component = () => ((used = useChat(service.url, options)), null);
  let root;
  await act(async () => (root = create(createElement(Component))));
  const { chat } = used;
  await act(() => new Promise((resolve) => chat.addEventListener("current", resolve, { once: true })));
  assert.equal(used.state, "open");
  await act(() => chat.sendChatMessage("r", "hello"));
  assert.deepEqual(used.messages.map(({ message }) => message.text), ["hi", "hello"]);
  await act(async () => root.unmount());
  assert.equal(chat.state, "closed");
});
