const LONGEST_TIMER_SECONDS = 2 ** 31 / 1000 - 1; // setTimeout fires at once beyond it

/** Timers by name: one of each, and all of them end together. */
export class Timers {
  #running = new Map();

  set(name, seconds, act) {
    this.cancel(name);
    const fire = () => this.#running.delete(name) && act();
    this.#running.set(name, setTimeout(fire, Math.min(seconds, LONGEST_TIMER_SECONDS) * 1000));
  }

  has(name) {
    return this.#running.has(name);
  }

  cancel(name) {
    clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clear() {
    for (const name of [...this.#running.keys()]) this.cancel(name);
  }
}
