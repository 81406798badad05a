import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import WebSocket from "ws";
import { Chat } from "../chat.js";
import { Typing } from "../chat/typing.js";
import { ChatService } from "./chat_service.js";
import { chance, next, settled } from "./scripted.js";

let service;
let chats;

beforeEach(async () => {
  chats = [];
  service = await new ChatService().start();
});
afterEach(async () => {
  for (const chat of chats) chat.close();
  await service.stop();
});

/** Until something that an event brings is so. */
async function until(condition, meaning) {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `waited for ${meaning ?? condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A user's open chat; `texts` is what it was handed, `told` all else. */
async function chatOf(user, options = {}) {
  const chat = new Chat(service.url, {
    WebSocket,
    token: () => `user.${user}`,
    random: () => Math.random() / 10,
    ...options,
  });
  chats.push(chat);
  Object.assign(chat, { texts: [], told: [], errors: [], current: 0 });
  chat.addEventListener("message", ({ detail }) => {
    if (detail.type === "message.created") chat.texts.push(detail.message.text);
    else chat.told.push(detail);
  });
  chat.addEventListener("error", ({ detail }) => chat.errors.push(detail.code));
  chat.addEventListener("current", () => chat.current++);
  chat.open();
  await until(() => chat.state === "open", "an open chat");
  return chat;
}

/** Until it has noticed; it may be back a moment later. */
function cut(chat) {
  const noticed = next(chat, "close");
  service.cut();
  return noticed;
}

const sequences = (messages) => messages.map(({ id }) => Number(id.split(".").at(-1)));
const texts = (room) => room.messages.map(({ text }) => text);
const heard = (type) => service.heard.filter(([, said]) => said.type === type).map(([, said]) => said);

test("a send is answered by its message, and heard by all", async () => {
  service.room("r", "ada", "bob");
  const [ada, bob] = [await chatOf("ada"), await chatOf("bob", { conversationId: "r" })];
  const message = await ada.sendChatMessage("r", "hi");
  assert.deepEqual([message.id, message.sender_id, message.text], ["r.1", "ada", "hi"]);
  await until(() => bob.texts.length === 1);
  assert.deepEqual(bob.texts, ["hi"]);
});

test("sends keep their order, and are stored once, while answers are lost and connections cut", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada", { conversationId: "r" });
  service.loseAnswers = 3;
  const wanted = Array.from({ length: 20 }, (_, at) => `message ${at}`);
  const answers = await Promise.all(wanted.map((text) => ada.sendChatMessage("r", text)));
  assert.deepEqual(texts(room), wanted);
  assert.deepEqual(answers.map(({ text }) => text), wanted);
  await until(() => ada.texts.length === 20);
  assert.deepEqual(ada.texts, wanted);
});

test("what waits while away is sent in order when the service is back", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada");
  await service.stop();
  await until(() => ada.state !== "open");
  const sends = ["one", "two", "three"].map((text) => ada.sendChatMessage("r", text));
  await service.start(service.port);
  await Promise.all(sends);
  assert.deepEqual(texts(room), ["one", "two", "three"]);
});

test("a send that comes too fast, or finds nobody, is repeated under its key", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada");
  service.refuse = [{ code: "rate_limited", retry_after_ms: 50 }, { code: "unavailable" }, { code: "rate_limited", idempotency_key: undefined, retry_after_ms: 10 }];
  await Promise.all([ada.sendChatMessage("r", "one"), ada.sendChatMessage("r", "two")]);
  assert.deepEqual(texts(room), ["one", "two"]);
  assert.equal(new Set(heard("message.send").map(({ idempotency_key }) => idempotency_key)).size, 2);
  assert.equal(heard("message.send").length, 5);
});

test("a send that is refused rejects with the code, and the next goes on", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada");
  const [refused, denied, sent] = await Promise.allSettled([
    (service.refuse = [{ code: "content_refused" }]) && ada.sendChatMessage("r", "bad"),
    ada.sendChatMessage("elsewhere", "hi"),
    ada.sendChatMessage("r", "good"),
  ]);
  assert.deepEqual([refused.reason.code, denied.reason.code, sent.value.text], ["content_refused", "access_denied", "good"]);
  assert.deepEqual(texts(room), ["good"]);
});

test("a send that is not known to be stored rejects at the end, and may be repeated by its key", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada");
  service.refuse = [{ code: "unavailable" }];
  const sending = ada.sendChatMessage("r", "hi");
  await until(() => heard("message.send").length === 1);
  ada.close();
  const error = await sending.catch((error) => error);
  assert.equal(error.code, "closed");
  await assert.rejects(ada.sendChatMessage("r", "late"), { code: "closed" });
  const again = await chatOf("ada");
  for (const _ of "twice")
    assert.equal((await again.sendChatMessage("r", "hi", { idempotencyKey: error.idempotencyKey })).id, "r.1");
  assert.deepEqual(texts(room), ["hi"]);
});

test("more sends than may wait are refused aloud", async () => {
  const chat = new Chat(service.url, { WebSocket, token: () => "user.ada" });
  const sends = Array.from({ length: 101 }, (_, at) => chat.sendChatMessage("r", `${at}`));
  await assert.rejects(sends.pop(), { code: "queue_full" });
  chat.close();
  const ended = await Promise.allSettled(sends);
  assert.ok(ended.every(({ reason }) => reason.code === "closed"));
});

test("who comes back hears all that was said meanwhile, page by page, and then what was live, once and in order", async () => {
  const room = service.room("r", "ada", "bob");
  for (let at = 0; at < 5; at++) service.write(room, "bob", `before ${at}`);
  const ada = await chatOf("ada", { conversationId: "r" });
  await until(() => ada.current === 1);
  assert.equal(ada.texts.length, 5);
  service.cut();
  for (let at = 0; at < 250; at++) service.write(room, "bob", `away ${at}`);
  let pages = 0;
  service.beforeHistory = async () => {
    if (pages++ < 2) service.write(room, "bob", `meanwhile ${pages}`);
    await settled();
  };
  await until(() => ada.current === 2 && ada.texts.length === 257, "all of it");
  assert.deepEqual(ada.texts, texts(room));
});

test("a live message that was lost is found when the next one comes", async () => {
  const room = service.room("r", "ada", "bob");
  const ada = await chatOf("ada", { conversationId: "r" });
  await until(() => ada.current === 1);
  service.write(room, "bob", "one");
  service.loseEvents = 2;
  for (const text of ["two", "three", "four", "five"]) service.write(room, "bob", text);
  await until(() => ada.texts.length === 5);
  assert.deepEqual(ada.texts, texts(room));
});

test("a conversation that was empty is caught up with from its beginning", async () => {
  const room = service.room("r", "ada", "bob");
  const ada = await chatOf("ada", { conversationId: "r" });
  await until(() => ada.current === 1);
  await service.stop();
  for (let at = 0; at < 130; at++) service.write(room, "bob", `${at}`);
  await service.start(service.port);
  await until(() => ada.texts.length === 130);
  assert.deepEqual(ada.texts, texts(room));
});

test("who knows the last message it has gets those after it", async () => {
  const room = service.room("r", "ada", "bob");
  for (let at = 1; at <= 9; at++) service.write(room, "bob", `${at}`);
  const ada = await chatOf("ada");
  ada.follow("r", { after: "r.7" });
  await until(() => ada.texts.length === 2);
  service.write(room, "bob", "10");
  await until(() => ada.texts.length === 3);
  assert.deepEqual(ada.texts, ["8", "9", "10"]);
  ada.unfollow("r");
  assert.deepEqual(sequences(room.messages).length, 10);
});

test("a history that fails is asked again; one that is refused is told, and not asked any more", async () => {
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  service.fail = [503, 500, 429];
  const ada = await chatOf("ada", { conversationId: "r" });
  await until(() => ada.texts.length === 1);
  assert.equal(service.asked.length, 4);
  room.participants.splice(0, 1);
  service.cut();
  await until(() => ada.errors.length === 1);
  assert.deepEqual(ada.errors, ["access_denied"]);
});

test("a conversation that is followed anew is its own, whatever becomes of the history asked for before", async () => {
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  const ada = await chatOf("ada");
  let answer;
  service.beforeHistory = () => new Promise((resolve) => (answer = resolve));
  ada.follow("r");
  await until(() => answer, "the first to be asked");
  const first = answer;
  ada.unfollow("r");
  service.beforeHistory = async () => {};
  service.fail = [403];
  ada.follow("r");
  await until(() => ada.errors.length === 1, "the second to be refused");
  ada.follow("r", { after: "r.1" });
  await until(() => ada.current === 1);
  first();
  await ada.conversations(); // behind it
  service.write(room, "bob", "there");
  await until(() => ada.texts.length === 1);
  assert.deepEqual([ada.texts, ada.current], [["there"], 1]);
});

test("a history that nobody follows any more is not asked for again", async () => {
  for (const name of ["r", "s"]) service.room(name, "ada");
  const ada = await chatOf("ada");
  service.fail = Array(6).fill(503);
  ada.follow("r");
  await until(() => service.asked.length === 1);
  ada.unfollow("r");
  ada.follow("s"); // which takes several tries, each as long as the next of the other would
  await until(() => ada.current === 1);
  assert.equal(service.asked.filter((path) => path.includes("/r/")).length, 1);
});

test("a provider that has no token for a while does not end what is followed", async () => {
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  service.fail = [401];
  let tokens = 0;
  const ada = await chatOf("ada", {
    conversationId: "r",
    token: () => (++tokens === 2 ? Promise.reject(new Error("the login is away")) : "user.ada"),
  });
  await until(() => ada.texts.length === 1);
  assert.deepEqual([tokens, ada.errors], [2, [undefined]]);
});

test("a provider that never answers holds no request up, nor what is followed once it is open again", async () => {
  const room = service.room("r", "ada", "bob");
  service.write(room, "bob", "hi");
  service.fail = [401];
  let isStuck = false;
  const asks = [];
  const token = ({ expired }) => (asks.push(expired), expired && isStuck ? new Promise(() => {}) : "user.ada");
  isStuck = true;
  const ada = await chatOf("ada", { conversationId: "r", token });
  await until(() => asks.includes(true), "a fresh one to be asked for");
  ada.close();
  isStuck = false;
  ada.open();
  await until(() => ada.texts.length === 1);
});

test("a key that the gateway does not take rejects its send, and the next goes on", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada");
  service.refuse = [{ code: "validation_error", field: "idempotency_key", idempotency_key: undefined }];
  const refused = ada.sendChatMessage("r", "one", { idempotencyKey: "x".repeat(129) });
  await assert.rejects(Promise.race([refused, ada.sendChatMessage("r", "two")]), { code: "validation_error", field: "idempotency_key" });
  await until(() => texts(room).length === 1);
  assert.deepEqual(texts(room), ["two"]);
});

test("what the service says of others is handed on, and its pings are answered", async () => {
  service.room("r", "ada", "bob");
  const [ada, bob] = [await chatOf("ada"), await chatOf("bob")];
  for (const { socket } of service.sockets) socket.send('{"type":"ping"}');
  ada.setTypingState("r", true);
  ada.setTypingState("r", true);
  await until(() => bob.told.length === 1);
  assert.deepEqual([bob.told[0].type, bob.told[0].state], ["conversation.typing", "on"]);
  await ada.sendChatMessage("r", "so");
  assert.deepEqual(heard("typing.set").map(({ state }) => state), ["on", "off"]);
  assert.equal(heard("pong").length, 2);
});

test("typing is said again while it goes on, and taken back in silence", () => {
  mock.timers.enable({ apis: ["setInterval"] });
  const said = [];
  const typing = new Typing((conversation, state) => said.push(state));
  for (let second = 0; second < 7; second++) {
    typing.on("r");
    mock.timers.tick(1000);
  }
  assert.deepEqual(said, ["on", "on", "on"]);
  mock.timers.tick(6000);
  assert.equal(said.at(-1), "off");
  const { length } = said;
  mock.timers.tick(60_000);
  assert.equal(said.length, length);
  typing.off("r");
  assert.equal(said.length, length);
  mock.timers.reset();
});

test("of read states that wait, the last of each conversation goes out; what a lost connection took is said again", async () => {
  const room = service.room("r", "ada");
  const ada = await chatOf("ada");
  await service.stop();
  await until(() => ada.state !== "open");
  for (const at of [1, 2, 3]) ada.setReadState("r", `r.${at}`);
  await service.start(service.port);
  await until(() => room.read.ada === "r.3");
  assert.equal(heard("read.set").length, 1);
  service.cut();
  await until(() => heard("read.set").length === 2);
  await cut(ada);
  assert.throws(() => {
    for (let at = 0; at < 101; at++) ada.setReadState(`other ${at}`, "x");
  }, { code: "queue_full" });
});

test("each read state is said once, however many conversations are read in a while", async () => {
  const names = Array.from({ length: 120 }, (_, at) => `r${at}`);
  for (const name of names) service.room(name, "ada");
  const ada = await chatOf("ada");
  for (const name of names) ada.setReadState(name, `${name}.1`);
  await until(() => service.conversations.get("r119").read.ada === "r119.1", "the last one");
  assert.deepEqual(heard("read.set").map(({ conversation_id }) => conversation_id), names);
});

test("conversations are made, listed and read back", async () => {
  const ada = await chatOf("ada");
  const { id, participants } = await ada.createConversation(["bob"]);
  assert.deepEqual(participants, ["ada", "bob"]);
  assert.deepEqual((await ada.conversations({ limit: 10 })).conversations.map(({ id }) => id), [id]);
  for (let at = 1; at <= 5; at++) await ada.sendChatMessage(id, `${at}`);
  const latest = await ada.history(id, { limit: 2 });
  assert.deepEqual(sequences(latest.messages), [4, 5]);
  assert.deepEqual(sequences((await ada.history(id, { limit: 2, before: latest.next })).messages), [2, 3]);
  await assert.rejects(ada.history("none"), { code: "access_denied", status: 403 });
});

test("a refused token is asked for anew, once", async () => {
  const asked = [];
  const ada = await chatOf("ada", { token: ({ expired }) => (asked.push(expired), "user.ada") });
  service.fail = [401];
  await ada.conversations();
  assert.deepEqual(asked, [false, true]);
  service.fail = [401, 401];
  await assert.rejects(ada.conversations(), { code: "token_expired", status: 401 });
});

test("the token is renewed on the open socket", async () => {
  const claims = btoa(JSON.stringify({ exp: Date.now() / 1000 + 1 })).replaceAll("=", "");
  await chatOf("ada", { token: () => `user.${claims}.x` });
  await until(() => heard("gateway.refresh").length === 1);
});

test("no timer is left after close()", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  service.room("r", "ada");
  await until(() => timers() === 0, "those of other tests to end");
  const ada = await chatOf("ada", { conversationId: "r" });
  service.refuse = [{ code: "rate_limited", retry_after_ms: 60_000 }, { code: "rate_limited", idempotency_key: undefined }];
  service.beforeHistory = () => new Promise(() => {});
  await cut(ada);
  await until(() => ada.state === "open");
  const ended = Promise.allSettled([ada.sendChatMessage("r", "hi"), ada.history("r")]);
  ada.setTypingState("r", true);
  await until(() => heard("typing.set").length === 1 && heard("message.send").length === 1);
  assert.ok(timers() > 0);
  ada.close();
  assert.deepEqual((await ended).map(({ reason }) => reason.code), ["closed", "closed"]);
  assert.equal((await ended)[1].reason.message, "the chat is closed");
  assert.equal(timers(), 1); // that of ws, which waits for the other end's goodbye
  await until(() => service.sockets.size === 0 && timers() === 0, "the last one to end");
});

test("whatever fails, all end with the same messages in the same order, none twice", { timeout: 60_000 }, async () => {
  const room = service.room("r", "ada", "bob", "eve");
  const users = [];
  for (const user of ["ada", "bob", "eve"]) users.push(await chatOf(user, { conversationId: "r" }));
  const random = chance(7);
  const failures = [
    () => service.cut(),
    () => service.refuse.push({ code: "unavailable" }, { code: "rate_limited", retry_after_ms: 10 }),
    () => (service.loseAnswers += 1),
    () => service.fail.push(503),
    async () => (await service.stop(), await service.start(service.port)),
  ];
  const sends = [];
  for (let at = 0; at < 60; at++) {
    for (const [of, chat] of users.entries()) sends.push(chat.sendChatMessage("r", `${of} ${at}`));
    if (random() < 0.3) await failures[Math.floor(random() * failures.length)]();
    await new Promise((resolve) => setTimeout(resolve, random() * 40));
  }
  await Promise.all(sends);
  await until(() => users.every((chat) => chat.texts.length >= 180), "all to hear all");
  assert.equal(room.messages.length, 180);
  for (const [of, chat] of users.entries()) {
    assert.deepEqual(chat.texts, texts(room));
    const own = chat.texts.filter((text) => text.startsWith(`${of} `));
    assert.deepEqual(own, Array.from({ length: 60 }, (_, at) => `${of} ${at}`));
  }
});
