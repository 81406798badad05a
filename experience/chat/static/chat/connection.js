/** How the connection is, and what to expect while there is none. */
import { element, made } from "./parts.js";

const STATES = { open: "connected", connecting: "connecting", waiting: "away, comes back", closed: "ended", idle: "" };

export class Connection {
  #chat;
  #onRefused; // (why) => void; it was never open
  #wasOpen = false;
  #why = "";

  constructor(chat, onRefused) {
    [this.#chat, this.#onRefused] = [chat, onRefused];
    chat.addEventListener("close", ({ detail }) => (this.#why = detail.reason || String(detail.code)));
    chat.addEventListener("state", () => this.#draw());
    for (const name of ["online", "offline"]) addEventListener(name, () => this.#draw());
  }

  #draw() {
    const state = this.#chat.state;
    if (state === "open") this.#wasOpen = true;
    if (state === "closed" && !this.#wasOpen) return this.#onRefused(this.#why);
    const isOffline = !navigator.onLine && state !== "closed";
    element("state").dataset.state = state;
    element("state").toggleAttribute("data-offline", isOffline);
    element("state").textContent = isOffline ? "no network" : (STATES[state] ?? state);
    element("away").replaceChildren(...this.#told(state, isOffline));
  }

  #told(state, isOffline) {
    if (state === "closed") {
      const again = made("button", { type: "button" }, "Connect again");
      again.addEventListener("click", () => location.reload());
      return [`Ended: ${this.#why}. `, again];
    }
    if (isOffline) return ["There is no network. What you write is sent once it is back."];
    const isAway = state === "waiting" || (this.#wasOpen && state !== "open");
    return isAway ? ["Not connected. What you write is sent once the connection is back."] : [];
  }
}
