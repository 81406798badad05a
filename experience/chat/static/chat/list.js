/** The user's conversations, those first in which something happened last. */
import { element, made, nameOf, problem } from "./parts.js";

export class ConversationList {
  #chat;
  #me;
  #onOpen;
  #known = new Map(); // id -> conversation, in their order
  #next = null;
  #openId = null;

  constructor(chat, me, onOpen) {
    [this.#chat, this.#me, this.#onOpen] = [chat, me, onOpen];
    element("more").addEventListener("click", () => this.#loadPage(this.#next));
  }

  /** From the beginning. */
  async load() {
    await this.#loadPage(null);
  }

  async #loadPage(before) {
    try {
      const { conversations, next } = await this.#chat.conversations(before ? { before } : {});
      if (!before) this.#known.clear();
      for (const each of conversations) this.#known.set(each.id, each.id === this.#openId ? { ...each, unread: 0 } : each);
      this.#next = next;
      this.#draw();
    } catch (error) {
      if (error.code !== "closed") problem(error.message);
    }
  }

  open(id) {
    this.#openId = id;
    const conversation = this.#known.get(id);
    if (conversation) conversation.unread = 0;
    this.#draw();
  }

  /** Open the conversation of just the two, or make one. */
  async begin(user) {
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
    const conversation = this.#known.get(said.conversation_id);
    if (said.type === "conversation.changed") return void this.load();
    if (!conversation) return void (said.type === "message.created" && this.load());
    if (said.type === "message.created") this.#created(conversation, said.message);
    if (said.type === "message.read") conversation.read[said.user_id] = said.up_to_message_id;
  }

  #created(conversation, message) {
    const last = conversation.last_message;
    if (last && last.created_at > message.created_at) return; // of a page of history
    const isNew = last?.id !== message.id;
    conversation.last_message = message;
    const isSeen = conversation.id === this.#openId && !document.hidden;
    if (isNew && message.sender_id !== this.#me && !isSeen) conversation.unread += 1;
    if (isNew) this.#toTop(conversation);
    this.#draw();
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
    element("conversations").replaceChildren(...[...this.#known.values()].map((each) => this.#row(each)));
    element("more").hidden = !this.#next;
    if (focused) element("conversations").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #row(conversation) {
    const name = made("strong", { dir: "auto" }, nameOf(conversation, this.#me));
    const last = made("small", { dir: "auto" }, conversation.last_message?.text ?? "Nothing yet");
    const button = made("button", { type: "button" }, name, last);
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
