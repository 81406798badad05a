import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Chat } from "../chat.js";
import { GatewaySocket } from "../sluicegate.js";
import { ScriptedWebSocket, fakeClock, settled } from "./scripted.js";

const URL_ = "wss://gateway.example.org/v1/chat/ws?a=b";
const TOKEN = `e30.${btoa(JSON.stringify({ exp: 2_000_000_000 }))}.x`.replaceAll("=", "");
let clock;

beforeEach(() => (clock = fakeClock()));
afterEach(() => clock.restore());

const latest = () => ScriptedWebSocket.made.at(-1);
const sold = (ticket) => new Response(JSON.stringify({ ticket, expires_at: "2027-01-15T08:00:30+00:00" }), { status: 201 });
const refused = (status, told) => new Response(told && JSON.stringify(told), { status });

/** A socket that buys at a gateway of these answers, one after the other. */
function buying(answers, options = {}) {
  const [calls, asked, told] = [[], [], []];
  const socket = new GatewaySocket(URL_, {
    WebSocket: ScriptedWebSocket,
    random: () => 1,
    ticket: "chat",
    token: ({ expired }) => (asked.push(expired), TOKEN),
    fetch: async (url, call) => {
      calls.push({ url: String(url), ...call });
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
    ...options,
  });
  for (const name of ["close", "error"]) socket.addEventListener(name, ({ detail }) => told.push([name, detail]));
  return { socket, calls, asked, told, of: (name) => told.filter(([told]) => told === name).map(([, detail]) => detail) };
}

test("each attempt buys a ticket with the token, and shows nothing else", async () => {
  const { socket, calls, of } = buying([sold("one"), sold("two")], { protocols: ["v1"] });
  socket.open();
  await settled();
  assert.equal(latest().url.href, "wss://gateway.example.org/v1/chat/ws?a=b&refuse=close&ticket=one");
  assert.deepEqual(latest().protocols, ["v1"]);
  latest().end(1006);
  await clock.tick(of("close")[0].delaySeconds);
  assert.equal(latest().url.searchParams.get("ticket"), "two");
  const [{ url, method, headers, body, credentials }] = calls;
  assert.deepEqual([calls.length, url, method], [2, "https://gateway.example.org/api/tickets", "POST"]);
  assert.deepEqual(headers, { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" });
  assert.deepEqual([JSON.parse(body), credentials], [{ route: "chat" }, "omit"]);
  socket.close();
});

test("the token of a ticket is renewed on the open socket", async () => {
  const token = `e30.${btoa(JSON.stringify({ exp: Date.now() / 1000 + 40 }))}.x`.replaceAll("=", "");
  const { socket } = buying([sold("one")], { refresh: true, token: () => token });
  socket.open();
  await settled();
  latest().open();
  latest().say({ type: "hello" });
  await clock.tick(30);
  assert.deepEqual(latest().sent.map((text) => JSON.parse(text)), [{ type: "gateway.refresh", token }]);
  socket.close();
});

for (const [what, answer, code, comesBack, delaySeconds] of [
  ["a revoked token", () => refused(401, { code: "token_revoked", message: "The token was revoked." }), 4011, false, null],
  ["an expired token", () => refused(401, { code: "token_expired", message: "The token has expired." }), 4010, true, 0],
  ["a bad token", () => refused(401, { code: "authentication_failed", message: "No." }), 1008, false, null],
  ["a blocked user", () => refused(403, { code: "blocked", message: "Blocked." }), 4003, false, null],
  ["an unknown route", () => refused(404, { code: "not_found", message: "there is no route 'chat'" }), 1008, false, null],
  ["too many calls", () => refused(429, { message: "Too many.", retry_after_ms: 2000 }), 4013, true, 2.5],
  ["a Redis that is away", () => refused(503, { code: "tickets_unavailable", retry_after_ms: 1000 }), 4013, true, 1.25],
  ["a proxy's own 503", () => refused(503), 4013, true, 0.5],
  ["a proxy's own 502", () => refused(502), 1011, true, 0.5],
  ["an answer that is none", () => refused(200, { hello: 1 }), 1008, false, null],
  ["nobody there", () => new TypeError("fetch failed"), 1006, true, 0.5],
])
  test(`without a ticket, for ${what}, it does what it would after a refusal: ${code}`, async () => {
    const { socket, asked, of } = buying([answer(), sold("one")]);
    socket.open();
    await settled();
    const [close] = of("close");
    assert.deepEqual([close.code, close.comesBack, close.delaySeconds], [code, comesBack, delaySeconds]);
    assert.equal(of("error").length, code === 1006 ? 1 : 0);
    assert.equal(ScriptedWebSocket.made.length, 0);
    await clock.tick(Math.max(delaySeconds ?? 60, 0.25));
    assert.equal(ScriptedWebSocket.made.length, comesBack ? 1 : 0);
    assert.deepEqual(asked, comesBack ? [false, code === 4010] : [false]);
    socket.close();
    assert.equal(clock.running.size, 0);
  });

test("a ticket that was too old is a reason to buy another at once", async () => {
  const { socket, of } = buying([sold("old"), sold("new")]);
  socket.open();
  await settled();
  latest().open();
  latest().end(4010, "fetch a new ticket");
  assert.equal(of("close")[0].delaySeconds, 0);
  await clock.tick(0.25);
  assert.equal(latest().url.searchParams.get("ticket"), "new");
  socket.close();
});

test("tickets that somebody else has bought are asked for, and no token is", async () => {
  const asked = [];
  const ticket = async ({ expired }) => (asked.push(expired), `ticket-${asked.length}`);
  const { socket, calls, of } = buying([], { ticket, token: null });
  socket.open();
  await settled();
  latest().open();
  latest().end(4010);
  await clock.tick(0.25);
  assert.deepEqual([latest().url.searchParams.get("ticket"), asked, calls], ["ticket-2", [false, true], []]);
  socket.close();
  const none = buying([], { ticket: () => "", token: null });
  none.socket.open();
  await settled();
  assert.match(none.of("error")[0].message, /the ticket provider gave no ticket/);
  none.socket.close();
  assert.equal(of("close").length, 2);
});

for (const [how, end] of [["close()", ({ socket }) => socket.close()], ["its time", () => clock.tick(15)]])
  test(`a purchase that is under way ends with ${how}`, async () => {
    let signal;
    const made = buying([], { fetch: (_, call) => ((signal = call.signal), new Promise(() => {})) });
    made.socket.open();
    await settled();
    assert.equal(signal.aborted, false);
    await end(made);
    assert.equal(signal.aborted, true);
    assert.deepEqual([ScriptedWebSocket.made.length, made.of("error").length], [0, 0]);
    made.socket.close();
  });

test("tickets may be bought elsewhere, and not without a token", () => {
  assert.throws(() => new GatewaySocket(URL_, { WebSocket: ScriptedWebSocket, ticket: "chat" }), /give a provider/);
  const elsewhere = buying([sold("one")], { ticketUrl: "https://api.example.org/gateway/tickets" });
  elsewhere.socket.open();
  return settled().then(() => {
    assert.equal(elsewhere.calls[0].url, "https://api.example.org/gateway/tickets");
    elsewhere.socket.close();
  });
});

test("the chat takes tickets, too", async () => {
  const calls = [];
  const fetch = async (url) => (calls.push(String(url)), sold("one"));
  const options = { WebSocket: ScriptedWebSocket, token: () => TOKEN, ticket: "chat", fetch };
  const chat = new Chat("https://gateway.example.org", options);
  chat.open();
  await settled();
  assert.deepEqual(calls, ["https://gateway.example.org/api/tickets"]);
  assert.equal(latest().url.searchParams.get("ticket"), "one");
  chat.close();
});
