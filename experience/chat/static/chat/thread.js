/** The conversation that is open: what was said, who has read how far, who types; and what is sent. */
import { element, isInSight, isPhone, made, nameOf, othersOf, problem, timeOf } from "./parts.js";

const TYPING_SECONDS = 10; // whoever says nothing of it for so long types no more
const NEAR = 120; // pixels from an end of the list
const MOST_READ_OUT = 300; // characters of a new message, by a screen reader

export class Thread {
  #chat;
  #me;
  #conversation = null;
  #isAway = true; // what was said up to now is still being handed out
  #messages = []; // of the open conversation, in order: {id, sender_id, text, created_at}
  #rows = new Map(); // their elements, by id
  #hasOlder = true;
  #isLoading = false;
  #waiting = new Map(); // conversation -> elements of what is being sent
  #typing = new Map(); // user -> timer
  #readUpTo = ""; // what was said last of what we have read
  #drafts = new Map(); // conversation -> what is written there, and not sent
  #blocked = new Set(); // users
  #sticks = true; // to the end, when the list gets another size
  #height = 0; // of the list, when it was last looked at

  constructor(chat, me) {
    [this.#chat, this.#me] = [chat, me];
    const list = element("messages");
    list.addEventListener("scroll", () => this.#scrolled());
    document.addEventListener("visibilitychange", () => this.#tellRead());
    element("say").addEventListener("submit", (event) => (event.preventDefault(), this.#say()));
    element("text").addEventListener("keydown", (event) => this.#key(event));
    element("text").addEventListener("input", () => this.#isTyping());
    element("block").addEventListener("click", () => this.#block());
    element("latest").addEventListener("click", () => this.#toEnd());
    new ResizeObserver(() => this.#resized()).observe(list);
    chat.addEventListener("state", ({ detail }) => detail === "open" && this.#loadBlocks());
  }

  get id() {
    return this.#conversation?.id;
  }

  show(conversation) {
    if (conversation.id === this.id) return this.#focus();
    if (this.#conversation) this.#leave();
    this.#conversation = { ...conversation, read: { ...conversation.read } };
    this.#isAway = true;
    this.#messages = [];
    this.#rows.clear();
    this.#hasOlder = true;
    this.#readUpTo = "";
    for (const user of [...this.#typing.keys()]) this.#types(user, "off");
    element("messages").dataset.hint = "";
    element("messages").replaceChildren(...(this.#waiting.get(conversation.id) ?? []));
    element("latest").hidden = true;
    element("text").value = this.#drafts.get(conversation.id) ?? "";
    this.#changed(conversation.participants);
    this.#focus();
    this.#chat.follow(conversation.id);
  }

  #leave() {
    this.#chat.unfollow(this.id);
    this.#chat.setTypingState(this.id, false);
    this.#drafts.set(this.id, element("text").value);
  }

  /** The keyboard of a phone would cover what is to be read first. */
  #focus() {
    element(isPhone() ? "title" : "text").focus();
  }

  /** All up to now was handed out; `conversation` is as the list knows it, or undefined. */
  isCurrent(conversation) {
    if (conversation?.id !== this.id) return;
    this.#isAway = false;
    element("messages").dataset.hint = "Nothing has been said here yet.";
    this.refresh(conversation);
  }

  /** What others did while we were away is in the list that was loaded anew. */
  refresh(conversation) {
    if (!conversation || conversation.id !== this.id) return;
    this.#changed(conversation.participants);
    const places = this.#places();
    const placeOf = (id) => places.get(id) ?? -1;
    const { read } = this.#conversation;
    for (const [user, upTo] of Object.entries(conversation.read))
      if (placeOf(upTo) >= placeOf(read[user])) read[user] = upTo;
    this.#drawRead();
  }

  hear(said) {
    if (said.conversation_id !== this.id) return;
    if (said.type === "message.created") this.#created(said.message);
    else if (said.type === "message.read") this.#read(said.user_id, said.up_to_message_id);
    else if (said.type === "conversation.typing") this.#types(said.user_id, said.state);
    else if (said.type === "conversation.blocked") this.#hasBlocked(said.by_user_id, said.target_user_id);
    else if (said.type === "conversation.unblocked") this.#hasUnblocked(said.by_user_id, said.target_user_id);
    else if (said.type === "conversation.changed") this.#changed(said.participants);
  }

  #changed(participants) {
    this.#conversation.participants = participants;
    element("title").textContent = nameOf(this.#conversation, this.#me);
    element("say").hidden = !participants.includes(this.#me);
    this.#drawBlock();
  }

  #created(message) {
    if (this.#rows.has(message.id)) return;
    const isAtEnd = this.#isAtEnd();
    this.#messages.push(message);
    const list = element("messages");
    list.insertBefore(this.#row(message), this.#waiting.get(this.#conversation.id)?.values().next().value ?? null);
    this.#types(message.sender_id, "off");
    if (isAtEnd || message.sender_id === this.#me) this.#toEnd();
    if (message.sender_id !== this.#me && !this.#isAway) this.#announce(message, isAtEnd);
    this.#tellRead();
    this.#drawRead();
  }

  #announce(message, isShown) {
    element("news").textContent = `${message.sender_id}: ${message.text.slice(0, MOST_READ_OUT)}`;
    if (!isShown) element("latest").hidden = false;
  }

  #row(message) {
    const isMine = message.sender_id === this.#me;
    const about = made("div", { className: "about" }, made("span", {}, isMine ? "" : message.sender_id));
    about.append(made("time", { dateTime: new Date(message.created_at * 1000).toISOString() }, timeOf(message.created_at)));
    about.append(made("span", { className: "read" }));
    const bubble = made("div", { className: "bubble", dir: "auto" }, message.text);
    const row = made("li", { className: isMine ? "mine" : "" }, bubble, about);
    row.dataset.id = message.id;
    this.#rows.set(message.id, row);
    return row;
  }

  #note(...content) {
    const row = made("li", { className: "note" }, ...content);
    element("messages").append(row);
    this.#toEnd();
  }

  // --- What was read ---

  #read(user, upTo) {
    this.#conversation.read[user] = upTo;
    this.#drawRead();
  }

  /** Each other's name stands at the last of my messages that they have read. */
  #drawRead() {
    for (const row of this.#rows.values()) row.querySelector(".read").textContent = "";
    const places = this.#places();
    const at = new Map();
    for (const user of othersOf(this.#conversation, this.#me)) {
      let place = places.get(this.#conversation.read[user]) ?? -1;
      while (place >= 0 && this.#messages[place].sender_id !== this.#me) place -= 1;
      if (place >= 0) at.set(place, [...(at.get(place) ?? []), user]);
    }
    const isOfTwo = this.#conversation.participants.length === 2;
    for (const [place, users] of at)
      this.#rows.get(this.#messages[place].id).querySelector(".read").textContent = isOfTwo ? "Read" : `Read by ${users.join(", ")}`;
  }

  #places() {
    return new Map(this.#messages.map(({ id }, place) => [id, place]));
  }

  #tellRead() {
    const last = this.#messages.findLast(({ sender_id }) => sender_id !== this.#me);
    if (!last || !isInSight() || last.id === this.#readUpTo || !this.#isAtEnd()) return;
    this.#readUpTo = last.id;
    try {
      this.#chat.setReadState(this.#conversation.id, last.id);
    } catch (error) {
      problem(error.message);
    }
  }

  // --- Scrolling back ---

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = element("messages");
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #toEnd() {
    element("messages").scrollTo({ top: element("messages").scrollHeight, behavior: "instant" });
  }

  #resized() {
    this.#height = element("messages").clientHeight;
    if (this.#sticks) this.#toEnd();
    this.#tellRead(); // it may have come in sight
  }

  #scrolled() {
    if (element("messages").clientHeight !== this.#height) return; // nobody scrolled: it has another size
    this.#sticks = this.#isAtEnd();
    if (this.#sticks) element("latest").hidden = true;
    this.#tellRead();
    if (element("messages").scrollTop < NEAR) this.#older();
  }

  async #older() {
    if (this.#isLoading || !this.#hasOlder || !this.#messages.length) return;
    this.#isLoading = true;
    const conversation = this.#conversation;
    try {
      const { messages, next } = await this.#chat.history(conversation.id, { before: this.#messages[0].id });
      if (conversation !== this.#conversation) return;
      this.#hasOlder = next !== null;
      this.#prepend(messages.filter(({ id }) => !this.#rows.has(id)));
    } catch (error) {
      if (error.code !== "closed") problem(error.message);
    } finally {
      this.#isLoading = false;
    }
  }

  /** What is being read stays where it is. */
  #prepend(messages) {
    const list = element("messages");
    const before = list.scrollHeight - list.scrollTop;
    this.#messages.unshift(...messages);
    list.prepend(...messages.map((message) => this.#row(message)));
    list.scrollTo({ top: list.scrollHeight - before, behavior: "instant" });
    this.#drawRead();
  }

  // --- Typing and sending ---

  #types(user, state) {
    clearTimeout(this.#typing.get(user));
    this.#typing.delete(user);
    if (state === "on") this.#typing.set(user, setTimeout(() => this.#types(user, "off"), TYPING_SECONDS * 1000));
    const users = [...this.#typing.keys()].join(", ");
    element("typing").textContent = users && `${users} ${this.#typing.size > 1 ? "are" : "is"} typing …`;
  }

  #isTyping() {
    this.#chat.setTypingState(this.#conversation.id, element("text").value !== "");
  }

  /** Enter sends, Shift+Enter is a new line; a word that is being composed is not to be sent. */
  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#say();
  }

  #say() {
    const field = element("text");
    const text = field.value.trim();
    const [length, most] = [[...text].length, Number(document.body.dataset.textCharacters)];
    if (!length) return;
    if (length > most) return problem(`Too long: ${length} characters, of ${most} at most.`);
    field.value = "";
    this.#send(this.#conversation.id, text);
  }

  async #send(conversationId, text, idempotencyKey) {
    const about = made("div", { className: "about" }, "sending …");
    const row = made("li", { className: "mine waiting" }, made("div", { className: "bubble", dir: "auto" }, text), about);
    const waiting = this.#waiting.get(conversationId) ?? new Set();
    this.#waiting.set(conversationId, waiting.add(row));
    if (conversationId === this.id) element("messages").append(row);
    this.#toEnd();
    const done = () => (waiting.delete(row), row.remove());
    try {
      await this.#chat.sendChatMessage(conversationId, text, idempotencyKey ? { idempotencyKey } : {});
      done(); // it is among those that are handed out, in its place
    } catch (error) {
      const again = made("button", { type: "button", className: "quiet" }, "Try again");
      again.addEventListener("click", () => (done(), this.#send(conversationId, text, error.idempotencyKey)));
      about.replaceChildren(`Not sent: ${error.message} `, again);
      row.classList.add("failed");
      element("news").textContent = `Not sent: ${error.message}`;
    }
  }

  // --- Who is blocked ---

  async #loadBlocks() {
    try {
      this.#blocked = new Set((await this.#chat.request("GET", "/blocks")).blocks);
      this.#drawBlock();
    } catch (error) {
      if (error.code !== "closed") problem(error.message);
    }
  }

  #drawBlock() {
    if (!this.#conversation) return;
    const others = othersOf(this.#conversation, this.#me);
    const isBlocked = others.length === 1 && this.#blocked.has(others[0]);
    element("block").hidden = others.length !== 1;
    element("block").textContent = isBlocked ? "Unblock" : "Block";
    element("text").placeholder = isBlocked ? `You have blocked ${others[0]}` : "Message";
  }

  async #block() {
    const [user] = othersOf(this.#conversation, this.#me);
    try {
      if (this.#blocked.has(user)) await this.#unblock(user);
      else await this.#chat.request("POST", "/blocks", { body: { user_id: user } }); // the socket tells both
    } catch (error) {
      problem(error.message);
    }
  }

  async #unblock(user) {
    await this.#chat.request("DELETE", "/blocks", { query: { user_id: user } });
    this.#blocked.delete(user);
    this.#drawBlock();
    this.#note(`You have unblocked ${user}.`);
  }

  #hasBlocked(by, target) {
    if (by === this.#me) this.#blocked.add(target);
    this.#drawBlock();
    this.#note(by === this.#me ? `You have blocked ${target}.` : `${by} has blocked you.`);
  }

  #hasUnblocked(by, target) {
    if (by !== this.#me) return this.#note(`${by} has unblocked you.`);
    this.#blocked.delete(target); // in another tab
    this.#drawBlock();
  }
}
