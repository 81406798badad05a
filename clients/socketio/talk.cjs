// socket.io-client through the gateway: node talk.cjs http://gateway:8666 TOKEN. Prints what it hears, a line each.
"use strict";
const { io } = require("socket.io-client");

const [url, token] = process.argv.slice(2);
const socket = io(url, { transports: ["websocket"], query: { token }, reconnection: false, timeout: 10000 });
const say = (...words) => console.log(JSON.stringify(words));
const heard = new Set();
const done = (what) => heard.add(what) && heard.size === 3 && socket.close();

socket.on("welcome", (message) => {
  say("welcome", message);
  done("welcome");
  socket.emit("add", [1, 2, 3], (sum) => setTimeout(() => { say("added", added); done("answer"); }, 50) && say("answer", sum));
});
let added = null;
socket.on("added", (message) => { added = message; done("added"); });
socket.on("connect_error", (error) => { console.error(String(error)); process.exit(1); });
setTimeout(() => { console.error("too late"); process.exit(2); }, 20000).unref();
