// Node's `ws`, the package behind most of npm's clients, as it comes (it offers compression).
"use strict";
const WebSocket = require("ws");
const { perform, say, encoded, decoded } = require("./contract.cjs");

let socket;

function open(url) {
  socket = new WebSocket(url);
  let refused = false;
  socket.on("open", () => say("opened"));
  socket.on("unexpected-response", (request, response) => {
    refused = true;
    say("refused", response.statusCode);
    request.destroy();
  });
  socket.on("error", (error) => console.error(String(error)));
  socket.on("message", (data, isBinary) => say(isBinary ? "binary" : "text", encoded(data)));
  socket.on("close", (code, reason) => refused || say("closed", code, encoded(reason)));
}

perform((word, fields) => {
  if (word === "open") open(fields[0]);
  else if (word === "text") socket.send(decoded(fields[0]).toString());
  else if (word === "binary") socket.send(decoded(fields[0]));
  else if (word === "fragments")
    fields.forEach((field, at) => socket.send(decoded(field).toString(), { fin: at === fields.length - 1 }));
  else if (word === "close") socket.close(Number(fields[0]), decoded(fields[1]).toString());
});
