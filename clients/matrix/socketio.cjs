// npm's socket.io-client. A text or a binary is the argument of a `message` event, as `socket.send` makes it.
"use strict";
const { io } = require("socket.io-client");
const { perform, say, encoded, decoded } = require("./contract.cjs");

let socket;
let ended; // what the gateway says before it ends a session for good: the close frame is out of sight then

function open(url) {
  const { origin, pathname, searchParams } = new URL(url.replace(/^ws/, "http"));
  const query = Object.fromEntries(searchParams);
  ended = undefined;
  socket = io(origin, { path: pathname, query, transports: ["websocket"], reconnection: false, forceNew: true });
  socket.on("connect", () => say("opened"));
  socket.on("connect_error", (error) => {
    const [, status] = /response: (\d+)/.exec(error.description?.message ?? "") ?? [];
    say("refused", status ?? "");
  });
  socket.on("message", (message) => {
    if (message?.type === "gateway.closed") ended = message;
    else if (typeof message === "string") say("text", encoded(message));
    else if (Buffer.isBuffer(message)) say("binary", encoded(message));
    else say("text", encoded(JSON.stringify(message)));
  });
  socket.on("disconnect", (why, details) => {
    console.error(why, details?.message, details?.code);
    const { code, reason } = ended ?? details?.context ?? {};
    say("closed", code ?? 0, encoded(reason ?? ""));
  });
}

perform((word, fields) => {
  if (word === "open") open(fields[0]);
  else if (word === "text") socket.send(decoded(fields[0]).toString());
  else if (word === "binary") socket.send(decoded(fields[0]));
  else if (word === "close") socket.close();
});
