// npm's socket.io-client as its makers ship it: it comes back by itself, with the latest of the tokens that stdin gives it.
// A line of stdin is a token, which may be followed by an origin and the namespaces to connect to.
// Each line of stdout is a JSON array: ["ready"], ["opened"], ["closed", why, code, whether it will come back], ["failed", status].
"use strict";
const readline = require("node:readline");
const { io } = require("socket.io-client");

const say = (...words) => console.log(JSON.stringify(words));
let freshToken;

function open(url) {
  let ended; // what the gateway said before it ended the session for good
  const socket = io(url, { query: { token: freshToken }, transports: ["websocket"], reconnectionDelay: 100 });
  socket.io.on("reconnect_attempt", () => (socket.io.opts.query = { token: freshToken }));
  socket.on("connect", () => say("opened"));
  socket.on("message", (said) => said?.type === "gateway.closed" && (ended = said));
  socket.on("disconnect", (why, details) => {
    say("closed", why, ended?.code ?? details?.context?.code, socket.active);
  });
  socket.on("connect_error", (error) => {
    say("failed", Number(/response: (\d+)/.exec(error.description?.message ?? "")?.[1] ?? 0));
  });
}

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [token, origin, ...namespaces] = line.split(" ");
    freshToken = token;
    namespaces.forEach((namespace) => open(origin + namespace));
  })
  .on("close", () => process.exit(0));
say("ready");
