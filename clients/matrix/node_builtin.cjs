// The WebSocket that Node itself has (20: with --experimental-websocket; 22 and later as it comes).
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { perform, say } = require("./contract.cjs");

const webSocket = fs.readFileSync(path.join(__dirname, "web_socket.js"), "utf8");
perform((0, eval)(webSocket)(say));
