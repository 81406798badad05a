import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { createElement } from "react";
import { act, create } from "react-test-renderer";
import ts from "typescript";
import WebSocket from "ws";
import { useChat } from "../react.js";
import { ChatService } from "./chat_service.js";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

let service;
beforeEach(async () => (service = await new ChatService().start()));
afterEach(() => service.stop());

const ofAda = (more) => ({ WebSocket, token: () => "user.ada", conversationId: "r", ...more });
const next = (chat, name) => act(() => new Promise((heard) => chat.addEventListener(name, heard, { once: true })));
const texts = (messages) => messages.map(({ message }) => message.text);

/** Mounted as StrictMode does it on a page: effects twice. */
async function mounted(element) {
  let root;
  await act(async () => (root = create(element, { unstable_isConcurrent: true, unstable_strictMode: true })));
  return root;
}

test("a component is connected, hears a bounded number of messages, and is closed when it goes", async () => {
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  let used;
  const Component = () => ((used = useChat(service.url, ofAda({ mostMessages: 3 }))), null);
  const root = await mounted(createElement(Component));
  const { chat } = used;
  await next(chat, "current");
  assert.deepEqual([used.state, used.isConnected, used.error], ["open", true, null]);
  assert.deepEqual(texts(used.messages), ["hi"]);
  for (const text of ["1", "2", "3"]) await act(() => chat.sendChatMessage("r", text));
  assert.deepEqual(texts(used.messages), ["1", "2", "3"]);
  assert.equal(used.chat, chat);
  await act(async () => root.unmount());
  assert.equal(chat.state, "closed");
});

test("what became of the connection is told, until it is open again", async () => {
  service.room("r", "ada");
  let used, fails = true;
  const token = () => {
    if (fails) throw new Error("no login");
    return "user.ada";
  };
  const Component = () => ((used = useChat(service.url, ofAda({ token, random: () => 0 }))), null);
  const root = await mounted(createElement(Component));
  while (!used.error) await next(used.chat, "close");
  assert.equal(used.error.reason, "no attempt was possible: no login");
  assert.equal(used.isConnected, false);
  fails = false;
  while (!used.isConnected) await next(used.chat, "state");
  assert.equal(used.error, null);
  await act(async () => root.unmount());
});

/** The guide's, as a bundler would have it. */
async function componentOfTheGuide(t) {
  const guide = readFileSync(new URL("../../../docs/browser-client.md", import.meta.url), "utf8");
  const [, example] = /^```tsx react\n(.*?)^```$/ms.exec(guide);
  const options = { jsx: ts.JsxEmit.ReactJSX, module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const { outputText, diagnostics } = ts.transpileModule(example, { compilerOptions: options, reportDiagnostics: true });
  assert.deepEqual(diagnostics, []);
  const directory = mkdtempSync(join(tmpdir(), "react-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "example.mjs");
  const placed = outputText.replace(/ from "(.*?)"/g, (_, name) => ` from "${import.meta.resolve(name)}"`);
  writeFileSync(file, placed);
  return (await import(file)).Conversation;
}

test("the component of the guide shows what is said, and says what is written", async (t) => {
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  const Conversation = await componentOfTheGuide(t);
  globalThis.WebSocket ??= WebSocket;
  const root = await mounted(createElement(Conversation, { gateway: service.url, token: () => "user.ada", id: "r" }));
  const shown = () => root.root.findAllByType("li").map(({ children }) => children.join(""));
  const until = async (...lines) => {
    while (shown().join() !== lines.join()) await act(() => new Promise((soon) => setImmediate(soon)));
  };
  await until("bob: hi");
  const box = root.root.findByType("input");
  await act(async () => box.props.onChange({ target: { value: "hello" } }));
  await act(async () => root.root.findByType("form").props.onSubmit({ preventDefault() {} }));
  await until("bob: hi", "ada: hello");
  assert.equal(root.root.findByType("input").props.value, "");
  await act(async () => root.unmount());
});
