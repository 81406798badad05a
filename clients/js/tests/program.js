// A page in Node, for tests that run gateways: node program.js '{"url": …, "options": {…}}'
//
// It prints what the client tells, a line of JSON each: [name, detail]. A line ["token", {expired}] asks for a line
// ["token", "…"] on stdin. Other lines there are calls of the client: ["send", …], ["close"]; the program ends with the client.
import { createInterface } from "node:readline";
import { GatewaySocket } from "../sluicegate.js";

const say = (...words) => console.log(JSON.stringify(words));
const { url, options } = JSON.parse(process.argv[2]);
const asked = [];

function token(how) {
  say("token", how);
  return new Promise((resolve) => asked.push(resolve));
}

const socket = new GatewaySocket(url, { ...options, token });
for (const name of ["state", "message", "gateway", "missed", "close"])
  socket.addEventListener(name, ({ detail }) => say(name, detail));
socket.addEventListener("error", ({ detail }) => say("error", String(detail)));

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [call, ...values] = JSON.parse(line);
  if (call === "token") asked.shift()(...values);
  else if (call === "leave") process.stdin.destroy(); // and only what the client has left keeps the program alive
  else socket[call](...values);
});
socket.open();
