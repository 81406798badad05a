// A chat in Node, for tests that run gateways and chat services: node chat_program.js '{"url": …, "token": …}'
//
// It prints what the chat tells, a line of JSON each: [name, detail]. A line [number, method, …] on stdin calls it, and is
// answered by ["answer", {number, value}], or {number, code} where it fails.
import { createInterface } from "node:readline";
import { Chat } from "../chat.js";

const say = (...words) => console.log(JSON.stringify(words));
const { url, token, options } = JSON.parse(process.argv[2]);
const chat = new Chat(url, { token: () => token, ...options });
for (const name of ["message", "current", "state", "close", "missed"])
  chat.addEventListener(name, ({ detail }) => say(name, detail));
chat.addEventListener("error", ({ detail: { code, message } }) => say("error", { code, message }));

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [number, method, ...values] = JSON.parse(line);
  try {
    say("answer", { number, value: (await chat[method](...values)) ?? null });
  } catch ({ code, message }) {
    say("answer", { number, code: code ?? message });
  }
});
chat.open();
