// A page of the gateway's own in a running Chromium, driven over its DevTools protocol: node chromium.cjs DEVTOOLS_URL
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const WebSocket = require("ws");
const { perform, say } = require("./contract.cjs");

const webSocket = fs.readFileSync(path.join(__dirname, "web_socket.js"), "utf8");
const answers = new Map();
const awaited = new Map();
let browser;
let session;

function connect(url) {
  browser = new WebSocket(url, { perMessageDeflate: false, maxPayload: 1 << 26 });
  browser.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.id) answers.get(message.id)(message);
    else if (message.method === "Runtime.bindingCalled") say(message.params.payload);
    else awaited.get(message.method)?.();
  });
  return new Promise((resolve, reject) => browser.on("open", resolve).on("error", reject));
}

let calls = 0;
async function call(method, params = {}) {
  const id = ++calls;
  browser.send(JSON.stringify({ id, method, params, sessionId: session }));
  const answer = await new Promise((resolve) => answers.set(id, resolve));
  answers.delete(id);
  if (answer.error || answer.result.exceptionDetails) throw new Error(method + JSON.stringify(answer));
  return answer.result;
}

/** Opens the first page of the gateway that `url` is of, as a page of its own origin has to. */
async function visit(url) {
  // A profile of its own, which ends with this program, however that ends.
  const { browserContextId } = await call("Target.createBrowserContext", { disposeOnDetach: true });
  const { targetId } = await call("Target.createTarget", { url: "about:blank", browserContextId });
  ({ sessionId: session } = await call("Target.attachToTarget", { targetId, flatten: true }));
  await call("Page.enable");
  await call("Runtime.enable");
  await call("Runtime.addBinding", { name: "say" });
  const loaded = new Promise((resolve) => awaited.set("Page.loadEventFired", resolve));
  await call("Page.navigate", { url: new URL("/", url.replace(/^ws/, "http")).href });
  await loaded;
  await call("Runtime.evaluate", { expression: `globalThis.perform = (${webSocket})(say); undefined` });
}

perform(async (word, fields) => {
  if (!browser) await connect(process.argv[2]);
  if (!session) await visit(fields[0]);
  await call("Runtime.evaluate", { expression: `perform(${JSON.stringify(word)}, ${JSON.stringify(fields)})` });
});
