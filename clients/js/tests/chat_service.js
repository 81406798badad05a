// A chat service as its contract says it, over HTTP and WebSockets on one port, that fails as it is told to. It stands where
// gateway and service would; a token is `user.<name>`.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const MOST_A_PAGE = 100;

export class ChatService {
  conversations = new Map(); // id -> {id, participants, messages, keys, read}
  sockets = new Set();
  heard = []; // [user, message] of all sockets
  asked = []; // "METHOD path" of all requests
  refuse = []; // errors that the next sends get, in order
  fail = []; // statuses that the next requests get, in order
  loseAnswers = 0; // so many sends are stored, and their socket is cut
  loseEvents = 0; // so many messages are told to nobody but their sender
  beforeHistory = async () => {};

  async start(port = 0) {
    this.server = createServer((request, response) => this.#answer(request, response));
    const sockets = new WebSocketServer({ server: this.server, handleProtocols: (offered) => [...offered][0] });
    sockets.on("connection", (socket, request) => this.#accept(socket, request));
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  /** As a process that is killed: what is stored stays. */
  async stop() {
    this.cut();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  cut() {
    for (const { socket } of this.sockets) socket.terminate();
  }

  room(id, ...participants) {
    const room = { id, participants, messages: [], keys: new Map(), read: {} };
    this.conversations.set(id, room);
    return room;
  }

  /** Stored, and told to all that take part. */
  write(room, sender_id, text, key) {
    const message = { id: `${room.id}.${room.messages.length + 1}`, sender_id, text, created_at: 1_800_000_000 };
    room.messages.push(message);
    if (key) room.keys.set(`${sender_id} ${key}`, message);
    const isLost = this.loseEvents > 0 && this.loseEvents--;
    for (const { socket, user } of this.sockets)
      if (room.participants.includes(user) && (!isLost || user === sender_id))
        say(socket, created(room, message, user === sender_id ? key : undefined));
    return message;
  }

  #accept(socket, request) {
    const user = request.headers["sec-websocket-protocol"].split(/, */)[1].slice("user.".length);
    const entry = { socket, user };
    this.sockets.add(entry);
    socket.on("close", () => this.sockets.delete(entry));
    socket.on("error", () => {});
    socket.on("message", (data) => this.#hear(entry, JSON.parse(data)));
  }

  #hear({ socket, user }, said) {
    if (said.type === "ping") return say(socket, { type: "pong" });
    this.heard.push([user, said]);
    if (said.type === "message.send") return this.#send(socket, user, said);
    if (said.type === "typing.set") this.#tellOthers(user, { ...said, type: "conversation.typing", user_id: user });
    if (said.type === "read.set") this.conversations.get(said.conversation_id).read[user] = said.up_to_message_id;
  }

  #send(socket, user, { conversation_id, text, idempotency_key }) {
    const refused = this.refuse.shift();
    if (refused) return say(socket, { type: "error", message: "refused", idempotency_key, ...refused });
    const room = this.conversations.get(conversation_id);
    if (!room?.participants.includes(user))
      return say(socket, { type: "error", code: "access_denied", message: "no", idempotency_key });
    const known = room.keys.get(`${user} ${idempotency_key}`);
    if (known) return say(socket, created(room, known, idempotency_key));
    if (this.loseAnswers > 0 && this.loseAnswers--) socket.terminate();
    this.write(room, user, text, idempotency_key);
  }

  #tellOthers(user, told) {
    const { participants } = this.conversations.get(told.conversation_id);
    for (const other of this.sockets)
      if (other.user !== user && participants.includes(other.user)) say(other.socket, told);
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.url);
    this.asked.push(`${request.method} ${url.pathname}${url.search}`);
    let body = "";
    for await (const chunk of request) body += chunk;
    const user = request.headers.authorization.slice("Bearer user.".length);
    const failed = this.fail.shift();
    const [status, said] = failed
      ? [failed, { code: failed === 401 ? "token_expired" : "draining", message: "no", retry_after_ms: 20 }]
      : await this.#answered(request.method, url, user, body && JSON.parse(body));
    response.writeHead(status, { "Content-Type": "application/json" }).end(said && JSON.stringify(said));
  }

  async #answered(method, url, user, body) {
    const [id, what] = url.pathname.slice("/api/chat/conversations".length + 1).split("/");
    if (method === "POST" && !id) {
      const room = this.room(`c${this.conversations.size + 1}`, user, ...body.participants);
      return [201, { id: room.id, participants: room.participants }];
    }
    const mine = [...this.conversations.values()].filter(({ participants }) => participants.includes(user));
    if (!id) return [200, { conversations: mine.map(({ id, participants }) => ({ id, participants })), next: null }];
    const room = mine.find((room) => room.id === decodeURIComponent(id));
    if (!room || what !== "messages") return [403, { code: "access_denied", message: "no" }];
    const page = pageOf(room.messages, Object.fromEntries(url.searchParams));
    await this.beforeHistory();
    return [200, page];
  }
}

function pageOf(messages, { before, after, limit }) {
  const most = Math.min(Number(limit ?? 50), MOST_A_PAGE);
  const at = messages.findIndex(({ id }) => id === (after ?? before));
  const range = after ? messages.slice(at + 1) : before ? messages.slice(0, at) : messages;
  const page = after ? range.slice(0, most) : range.slice(-most);
  const edge = after ? page.at(-1) : page[0];
  return { messages: page, next: page.length < range.length ? edge.id : null };
}

const created = (room, message, idempotency_key) => ({
  type: "message.created",
  conversation_id: room.id,
  message,
  idempotency_key,
});

const say = (socket, message) => socket.send(JSON.stringify(message), () => {});
