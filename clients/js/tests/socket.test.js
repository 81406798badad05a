import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { CLOSES, ComeBack, GatewaySocket, backoffSeconds, delaySeconds } from "../sluicegate.js";
import { ScriptedWebSocket, chance, fakeClock, settled } from "./scripted.js";

const URL_ = "https://gateway.example.org/v1/chat/ws";
const PING = { type: "ping" };
let clock;

beforeEach(() => (clock = fakeClock()));
afterEach(() => clock.restore());

const latest = () => ScriptedWebSocket.made.at(-1);

/** A socket and all that it tells, as [name, detail]. */
function made(options = {}) {
  const socket = new GatewaySocket(URL_, { WebSocket: ScriptedWebSocket, random: () => 1, ...options });
  const told = [];
  for (const name of ["state", "message", "gateway", "missed", "close", "error"])
    socket.addEventListener(name, ({ detail }) => told.push([name, detail]));
  return { socket, told, of: (name) => told.filter(([told]) => told === name).map(([, detail]) => detail) };
}

/** … that is open: the service has said something. */
async function opened(options) {
  const all = made(options);
  all.socket.open();
  await settled();
  latest().open();
  latest().say({ type: "hello" });
  assert.equal(all.socket.state, "open");
  return all;
}

/** A token that expires after so many seconds. */
const tokenFor = (seconds) => `e30.${btoa(JSON.stringify({ exp: Date.now() / 1000 + seconds }))}.x`.replaceAll("=", "");

test("the wait doubles from half a second to half a minute, and all of it is left to chance", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 7, 50].map((attempt) => backoffSeconds(attempt, () => 1));
  assert.deepEqual(longest, [0.5, 1, 2, 4, 8, 16, 30, 30, 30]);
  assert.equal(backoffSeconds(9, () => 0), 0);
});

test("what was told is waited for, and a little longer by chance", () => {
  const told = { code: 4013, reason: "too many connections of one user, at most 5; retry in 5000 ms" };
  assert.equal(delaySeconds(told, 0, () => 0), 5);
  assert.equal(delaySeconds(told, 0, () => 1), 6.25);
  assert.equal(delaySeconds(told, 6, () => 1), 30); // who failed six times waits no less than its backoff
  assert.equal(delaySeconds({ code: 4901, reason: "retry in 700 ms" }, 0, () => 0), 0.7);
  assert.equal(delaySeconds({ code: 1011, reason: "retry in 700 ms" }, 0, () => 1), 0.5); // not a code that names one
});

for (const [code, comeBack] of Object.entries(CLOSES))
  test(`after ${code} one comes back: ${comeBack}`, async () => {
    const { socket, of } = await opened();
    latest().end(Number(code), "for a reason");
    const back = comeBack !== ComeBack.NO;
    assert.equal(socket.state, back ? "waiting" : "closed");
    const [close] = of("close");
    assert.deepEqual([close.code, close.reason, close.comesBack], [Number(code), "for a reason", back]);
    assert.equal(clock.running.size, back ? 1 : 0);
    await clock.tick(1);
    assert.equal(ScriptedWebSocket.made.length, back ? 2 : 1);
    socket.close();
  });

test("codes of the service's own end it, unless the page says otherwise", async () => {
  for (const [code, state] of [[4321, "closed"], [4322, "waiting"], [1000, "closed"]]) {
    const { socket } = await opened({ comeBackAfter: (close) => close.code === 4322 });
    latest().end(code);
    assert.equal(socket.state, state);
    socket.close();
  }
});

test("each attempt that fails makes the next wait longer, and a socket that lived for ten seconds makes it short again", async () => {
  const { socket, of } = await opened();
  for (let attempt = 0; attempt < 4; attempt++) {
    latest().end(1006);
    await clock.tick(of("close").at(-1).delaySeconds);
    latest().open();
    latest().say({});
  }
  await clock.tick(10);
  latest().end(1006);
  assert.deepEqual(of("close").map(({ delaySeconds }) => delaySeconds), [0.5, 1, 2, 4, 0.5]);
  socket.close();
});

test("the provider is asked for each attempt, and for a fresh token after 4010", async () => {
  const asked = [];
  const { socket, of } = made({ token: async (how) => `token-${asked.push(how.expired)}` });
  socket.open();
  await settled();
  for (const code of [1006, 4010, 1006]) {
    latest().open();
    latest().end(code);
    await clock.tick(of("close").at(-1).delaySeconds);
  }
  assert.deepEqual(asked, [false, false, true, false]);
  assert.deepEqual(latest().protocols, ["bearer", "token-4"]);
  assert.equal(latest().url.href, "wss://gateway.example.org/v1/chat/ws?refuse=close");
  socket.close();
});

test("a token stands in the query where that is asked for, or where no sub-protocol can carry it", async () => {
  for (const [options, token] of [[{ tokenIn: "query" }, "a.b.c"], [{}, "one/two="]]) {
    const { socket } = made({ ...options, token: () => token, query: { room: "a b" } });
    socket.open();
    await settled();
    assert.equal(latest().url.searchParams.get("token"), token);
    assert.equal(latest().url.searchParams.get("room"), "a b");
    assert.deepEqual(latest().protocols, []);
    socket.close();
  }
});

for (const [what, token] of [
  ["rejects", () => Promise.reject(new Error("no login"))],
  ["throws", () => { throw new Error("no login"); }],
  ["has none", () => ""],
])
  test(`a provider that ${what} is told, and asked again later`, async () => {
    const { socket, of } = made({ token });
    socket.open();
    await settled();
    assert.equal(of("error").length, 1);
    assert.equal(socket.state, "waiting");
    await clock.tick(0.5);
    assert.equal(of("error").length, 2);
    assert.deepEqual(ScriptedWebSocket.made, []);
    socket.close();
    assert.equal(clock.running.size, 0);
  });

test("a provider or a handshake that never ends is given up", async () => {
  for (const token of [() => new Promise(() => {}), () => "token"]) {
    const { socket, of } = made({ token });
    socket.open();
    await clock.tick(15);
    assert.deepEqual(of("close").map(({ code }) => code), [1006]);
    assert.deepEqual(ScriptedWebSocket.alive, []);
    socket.close();
  }
});

test("an accepted socket that is refused was never open, and what was to be sent is given back", async () => {
  const { socket, of } = made();
  socket.open();
  socket.send({ type: "first" });
  await settled();
  latest().open();
  latest().end(1008, "authentication failed");
  assert.deepEqual(of("state"), ["connecting", "closed"]);
  assert.deepEqual(latest().sent, []);
  assert.deepEqual(of("close")[0].unsent, ['{"type":"first"}']);
});

test("a service that says nothing is there after a moment", async () => {
  const { socket } = made();
  socket.open();
  await settled();
  latest().open();
  assert.equal(socket.state, "connecting");
  await clock.tick(0.5);
  assert.equal(socket.state, "open");
  socket.close();
});

test("what waits is sent in order, and before what is sent by who hears that it is open", async () => {
  const { socket } = made();
  socket.addEventListener("state", ({ detail }) => detail === "open" && socket.send("third"));
  socket.send("first");
  socket.open();
  await settled();
  latest().open();
  socket.send("second");
  latest().say({});
  assert.deepEqual(latest().sent, ["first", "second", "third"]);
  socket.close();
});

test("a full queue is an error of who sends, while away and on a network that takes nothing", async () => {
  const full = { name: "SendError", code: "queue_full" };
  const { socket } = await opened({ queueMessages: 2, queueSize: 10 });
  latest().bufferedAmount = 8;
  assert.throws(() => socket.send("abc"), full);
  latest().end(1006);
  assert.throws(() => socket.send("more than ten"), full);
  assert.throws(() => socket.send(new Float64Array(2)), full);
  socket.send("a");
  socket.send("b");
  assert.throws(() => socket.send("c"), full);
  socket.close();
  assert.throws(() => socket.send("d"), { name: "SendError", code: "closed" });
});

test("what is sent while the browser says goodbye waits for the next socket", async () => {
  const { socket } = await opened();
  const first = latest();
  first.readyState = 2;
  socket.send("kept");
  first.end(1001, "restart; retry in 100 ms");
  await clock.tick(1);
  latest().open();
  latest().say({});
  assert.deepEqual([first.sent, latest().sent], [[], ["kept"]]);
  socket.close();
});

test("silence is asked about, and a network that does not answer is dead within seconds", async () => {
  const { socket, of } = await opened({ ping: PING });
  const pings = () => latest().sent.filter((sent) => sent === JSON.stringify(PING)).length;
  assert.equal(pings(), 1); // at once: its answer says that the service is there
  await clock.tick(4);
  latest().say({ type: "news" });
  await clock.tick(4);
  assert.equal(pings(), 1);
  await clock.tick(1);
  assert.equal(pings(), 2);
  latest().say({ type: "pong" });
  assert.deepEqual(of("message").map(({ message }) => message.type), ["hello", "news"]);
  await clock.tick(9.75);
  assert.equal(socket.state, "open");
  await clock.tick(0.25);
  assert.deepEqual(of("close").map(({ code, reason }) => [code, reason]), [[1006, "no answer to a ping"]]);
  socket.close();
});

test("since is said with each connection; gateway.resync comes back for what was missed", async () => {
  const { socket, of } = await opened({ since: true });
  const since = () => latest().url.searchParams.get("since");
  assert.equal(since(), "");
  latest().say({ type: "gateway.recovered", recovered: false, events: 0, reason: "new", since: "1-1" });
  latest().say({ type: "room.said", since: "1-2" });
  latest().say({ type: "gateway.resync", reason: "redis" });
  assert.equal(socket.state, "waiting");
  await clock.tick(0.5);
  assert.equal(since(), "1-2");
  assert.deepEqual(of("missed"), [{ reason: "new" }]);
  assert.deepEqual(of("gateway").map(({ type }) => type), ["gateway.recovered", "gateway.resync"]);
  socket.close();
});

test("without a history gateway.resync is told, and the socket stays", async () => {
  const { socket, of } = await opened();
  latest().say({ type: "gateway.resync", reason: "redis" });
  assert.deepEqual(of("missed"), [{ reason: "redis" }]);
  assert.equal(socket.state, "open");
  socket.close();
});

test("a token is renewed on the open socket before it expires, and again until that is answered", async () => {
  let count = 0;
  const { socket } = await opened({ refresh: true, token: () => (count++, tokenFor(100)) });
  await clock.tick(75);
  assert.equal(JSON.parse(latest().sent[0]).type, "gateway.refresh");
  await clock.tick(18.75);
  assert.equal(latest().sent.length, 2);
  latest().say({ type: "gateway.refreshed", expires_at: new Date(Date.now() + 100_000).toISOString() });
  await clock.tick(74);
  assert.equal(latest().sent.length, 2);
  await clock.tick(1);
  assert.equal(latest().sent.length, 3);
  assert.equal(count, 4);
  socket.close();
  assert.equal(clock.running.size, 0);
});

test("a clock that is ahead of the gateway's does not ask for tokens without end", async () => {
  let count = 0;
  const { socket } = await opened({ refresh: true, token: () => (count++, tokenFor(-600)) });
  for (let minute = 0; minute < 10; minute++) {
    await clock.tick(60);
    latest().say({ type: "gateway.refreshed", expires_at: new Date(Date.now() - 600_000).toISOString() });
  }
  assert.ok(count > 1 && count <= 21, `asked ${count} times in ten minutes`);
  socket.close();
});

/** A page's window and document, as far as the network goes. */
function page(t) {
  const page = new EventTarget();
  Object.assign(page, { document: Object.assign(new EventTarget(), { visibilityState: "hidden" }) });
  for (const name of ["addEventListener", "removeEventListener", "document"])
    globalThis[name] = typeof page[name] === "function" ? page[name].bind(page) : page[name];
  t.after(() => ["addEventListener", "removeEventListener", "document"].forEach((name) => delete globalThis[name]));
  return page;
}

test("a network that is back ends a backoff, but not a wait that was told", async (t) => {
  const window = page(t);
  const { socket } = await opened();
  for (let attempt = 0; attempt < 6; attempt++) {
    latest().end(1006);
    window.dispatchEvent(new Event("online"));
    await clock.tick(0.5);
    latest().open();
  }
  assert.equal(ScriptedWebSocket.made.length, 7);
  latest().end(4013, "overloaded; retry in 60000 ms");
  window.dispatchEvent(new Event("online"));
  await clock.tick(59);
  assert.equal(ScriptedWebSocket.made.length, 7);
  await clock.tick(16.5);
  assert.equal(ScriptedWebSocket.made.length, 8);
  socket.close();
});

test("a page that is shown again, or goes offline, asks at once whether the service is there", async (t) => {
  const window = page(t);
  const { socket, of } = await opened({ ping: PING, answerSeconds: 2 });
  window.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(latest().sent.length, 1);
  window.document.visibilityState = "visible";
  window.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(latest().sent.length, 2);
  await clock.tick(1);
  window.dispatchEvent(new Event("offline")); // asked already: its time goes on
  assert.equal(latest().sent.length, 2);
  await clock.tick(1);
  assert.deepEqual(of("close").map(({ reason }) => reason), ["no answer to a ping"]);
  socket.close();
  window.dispatchEvent(new Event("online"));
  assert.equal(clock.running.size, 0);
});

test("a listener may close it at any moment, and nothing follows", async () => {
  for (const name of ["state", "message", "gateway", "close", "error"]) {
    const { socket } = made({ token: () => (name === "error" ? "" : "token") });
    socket.open();
    socket.addEventListener(name, () => socket.close());
    await settled();
    if (name !== "error") {
      latest().open();
      latest().say({ type: name === "gateway" ? "gateway.present" : "hello" });
      latest().say({ type: "hello" });
      latest().end(1006);
    }
    assert.equal(socket.state, "closed", name);
    assert.equal(clock.running.size, 0, name);
    await clock.tick(60);
    assert.deepEqual(ScriptedWebSocket.alive, [], name);
  }
});

test("it can be opened again after it was closed", async () => {
  const { socket } = await opened();
  latest().end(4001, "kicked by staff");
  socket.open();
  await settled();
  latest().open();
  latest().say({});
  assert.equal(socket.state, "open");
  socket.close(4000, "bye");
  assert.deepEqual(latest().closed, { code: 4000, reason: "bye" });
});

test("whatever happens, there is one socket at most, no double of an event, and no timer after close()", async (t) => {
  const window = page(t);
  for (let seed = 1; seed <= 300; seed++) {
    const random = chance(seed);
    const pick = (things) => things[Math.floor(random() * things.length)];
    const { socket, of } = made({
      random,
      ping: pick([null, PING]),
      since: pick([true, false]),
      refresh: true,
      ticket: pick([null, "chat"]),
      fetch: async () => pick([Response.json({ ticket: "one" }, { status: 201 }), Response.json({}, { status: 503 })]),
      token: () => pick([() => tokenFor(20), () => Promise.resolve("token"), () => { throw new Error("none"); }])(),
    });
    const live = () => ScriptedWebSocket.alive[0];
    const happenings = [
      () => socket.open(),
      () => socket.close(),
      () => pick(ScriptedWebSocket.made.slice(-3))?.readyState === 0 && live()?.readyState === 0 && live().open(),
      () => live()?.readyState === 1 && live().say(pick([{ type: "pong" }, { since: "1-1" }, { type: "gateway.resync" }])),
      () => pick(ScriptedWebSocket.made.slice(-3))?.end(pick([1000, 1001, 1006, 1011, 4001, 4010, 4013]), "in 40 ms"),
      () => pick(ScriptedWebSocket.made.slice(-3))?.fail(),
      () => window.dispatchEvent(new Event(pick(["online", "offline"]))),
      () => window.document.dispatchEvent(new Event("visibilitychange")),
      () => clock.tick(random() * pick([0.1, 1, 10])),
      () => socket.state !== "closed" && socket.send("x".repeat(random() * 3)),
    ];
    window.document.visibilityState = pick(["visible", "hidden"]);
    const trail = [];
    for (let step = 0; step < 60; step++) {
      const at = Math.floor(random() * happenings.length);
      trail.push(at);
      await happenings[at]();
      if (random() < 0.7) await settled();
      const seen = `seed ${seed}: ${trail}`;
      assert.ok(ScriptedWebSocket.alive.length <= 1, seen);
      if (socket.state === "waiting") assert.equal(clock.running.size, 1, seen);
      if (socket.state === "connecting" || socket.state === "open") assert.ok(clock.running.size <= 4, seen);
      if (socket.state === "open") assert.equal(live()?.readyState, 1, seen);
      if (socket.state === "closed" || socket.state === "idle") assert.equal(clock.running.size, 0, seen);
    }
    socket.close();
    await settled();
    assert.equal(clock.running.size, 0, `seed ${seed}`);
    assert.deepEqual(ScriptedWebSocket.alive, [], `seed ${seed}`);
    const states = of("state");
    assert.ok(states.every((state, at) => at === 0 || state !== states[at - 1]), `seed ${seed}: ${states}`);
  }
});
