/** The user's conversations, those first in which something happened last. */
import { element, isInSight, made, nameOf, problem, timeOf } from "./parts.js";

const AGAIN_SECONDS = 1; // until the list is asked for once more

export class ConversationList {
  #chat;
  #me;
  #onOpen; // (conversation) => void
  #onLoaded; // () => void
  #known = new Map(); // id -> conversation, in their order
  #next = null;
  #openId = null;
  #isLoading = false;
  #isStale = false; // something was heard while the list was on its way, which may be from before that

  constructor(chat, me, { onOpen, onLoaded }) {
    [this.#chat, this.#me, this.#onOpen, this.#onLoaded] = [chat, me, onOpen, onLoaded];
    element("more").addEventListener("click", () => this.#loadPage(this.#next));
    this.#draw();
  }

  /** From the beginning; of several answers the last to come need not be the newest, so there is one at a time. */
  async load() {
    if (this.#isLoading) return void (this.#isStale = true);
    if (this.#chat.state !== "open") return; // once it is, all is loaded
    [this.#isLoading, this.#isStale] = [true, false];
    await this.#loadPage(null);
    this.#isLoading = false;
    if (this.#isStale) setTimeout(() => this.load(), AGAIN_SECONDS * 1000);
  }

  async #loadPage(before) {
    try {
      const { conversations, next } = await this.#chat.conversations(before ? { before } : {});
      if (!before) this.#known.clear();
      for (const each of conversations) this.#known.set(each.id, this.#isSeen(each.id) ? { ...each, unread: 0 } : each);
      this.#next = next;
      element("conversations").dataset.hint = "No conversations yet.";
      this.#draw();
      this.#onLoaded();
    } catch (error) {
      if (error.code !== "closed") problem(error.message);
    }
  }

  find(id) {
    return this.#known.get(id);
  }

  open(id) {
    this.#openId = id;
    const conversation = this.#known.get(id);
    if (conversation) conversation.unread = 0;
    this.#draw();
  }

  /** Open the conversation of just the two, or make one. */
  async begin(user) {
    if (user === this.#me) throw new Error("That is you. Who is the other?");
    let found = [...this.#known.values()].find(
      ({ participants }) => participants.length === 2 && participants.includes(user) && participants.includes(this.#me),
    );
    if (!found) {
      const conversation = await this.#chat.createConversation([user]);
      found = { unread: 0, last_message: null, read: {}, ...conversation };
      this.#toTop(found);
    }
    this.#onOpen(found);
  }

  hear(said) {
    if (said.type !== "conversation.typing") this.#isStale = true;
    const conversation = this.#known.get(said.conversation_id);
    if (said.type === "conversation.changed") return void this.load();
    if (!conversation) return void (said.type === "message.created" && this.load());
    if (said.type === "message.created") this.#created(conversation, said.message);
    if (said.type === "message.read") this.#read(conversation, said.user_id, said.up_to_message_id);
  }

  #created(conversation, message) {
    const last = conversation.last_message;
    if (last && last.created_at > message.created_at) return; // of a page of history
    const isNew = last?.id !== message.id;
    conversation.last_message = message;
    if (isNew && message.sender_id !== this.#me && !this.#isSeen(conversation.id)) conversation.unread += 1;
    if (isNew) this.#toTop(conversation);
    this.#draw();
  }

  /** I may have read it in another tab, or when I came back to this one. */
  #read(conversation, user, upTo) {
    conversation.read[user] = upTo;
    if (user !== this.#me || conversation.last_message?.id !== upTo) return;
    conversation.unread = 0;
    this.#draw();
  }

  #isSeen(id) {
    return id === this.#openId && isInSight();
  }

  #toTop(conversation) {
    this.#known.delete(conversation.id);
    this.#known = new Map([[conversation.id, conversation], ...this.#known]);
  }

  focus() {
    element("conversations").querySelector("[aria-current=true]")?.focus();
  }

  #draw() {
    const focused = document.activeElement?.dataset?.id;
    const all = [...this.#known.values()];
    element("conversations").replaceChildren(...all.map((each) => this.#row(each)));
    element("more").hidden = !this.#next;
    if (focused) element("conversations").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
    const unread = all.reduce((sum, each) => sum + each.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}Chat: ${this.#me}`;
  }

  #row(conversation) {
    const last = conversation.last_message;
    const said = last ? (last.sender_id === this.#me ? `You: ${last.text}` : last.text) : "Nothing yet";
    const name = made("strong", { dir: "auto" }, nameOf(conversation, this.#me));
    const button = made("button", { type: "button" }, name, made("time", {}, last ? timeOf(last.created_at) : ""));
    button.append(made("small", { dir: "auto" }, said));
    button.dataset.id = conversation.id;
    button.setAttribute("aria-current", String(conversation.id === this.#openId));
    if (conversation.unread) {
      const count = conversation.unread < 100 ? String(conversation.unread) : "99+";
      const badge = made("span", { className: "unread" }, count, made("span", { className: "unseen" }, " unread"));
      button.append(badge);
    }
    button.addEventListener("click", () => this.#onOpen(conversation));
    return made("li", {}, button);
  }
}
