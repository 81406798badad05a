const BEAT_SECONDS = 3; // between two "on"; after one in silence comes "off"

/** What the user types where: said again while it goes on, and taken back in silence. */
export class Typing {
  #timers = new Map();
  #say;

  constructor(say) {
    this.#say = say; // (conversationId, "on" | "off") => void
  }

  on(conversationId) {
    const typing = this.#timers.get(conversationId);
    if (typing) return void (typing.goesOn = true);
    const started = { goesOn: false, timer: null };
    started.timer = setInterval(() => this.#beat(conversationId, started), BEAT_SECONDS * 1000);
    this.#timers.set(conversationId, started);
    this.#say(conversationId, "on");
  }

  off(conversationId) {
    if (this.#forget(conversationId)) this.#say(conversationId, "off");
  }

  end() {
    for (const conversationId of [...this.#timers.keys()]) this.#forget(conversationId);
  }

  #beat(conversationId, typing) {
    if (!typing.goesOn) return this.off(conversationId);
    typing.goesOn = false;
    this.#say(conversationId, "on");
  }

  #forget(conversationId) {
    clearInterval(this.#timers.get(conversationId)?.timer);
    return this.#timers.delete(conversationId);
  }
}
