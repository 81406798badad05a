// A WebSocket that does what a test says, and a clock that counts the timers that run. For the timing of the state
// machine alone: everything else is tried on real sockets.
import { mock } from "node:test";

export class ScriptedWebSocket extends EventTarget {
  static made = [];
  static get alive() {
    return this.made.filter((socket) => socket.readyState < 2);
  }

  readyState = 0;
  bufferedAmount = 0;
  sent = [];

  constructor(url, protocols) {
    super();
    Object.assign(this, { url: new URL(url), protocols });
    ScriptedWebSocket.made.push(this);
  }

  send(data) {
    if (this.readyState === 0) throw new Error("InvalidStateError");
    this.sent.push(data);
  }

  close(code, reason) {
    if (this.readyState > 1) return;
    Object.assign(this, { readyState: 2, closed: { code, reason } });
  }

  // What a server or a network does.
  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  say(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** As Node 20 fails to open: with no close after it. */
  fail() {
    const wasOpen = this.readyState === 1;
    this.readyState = 3;
    this.onerror?.();
    if (wasOpen) this.onclose?.({ code: 1006, reason: "" });
  }
}

/** Replaces the clock; `timers.running` are those that have neither fired nor been cleared. */
export function fakeClock() {
  ScriptedWebSocket.made = [];
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_800_000_000_000 });
  const running = new Set();
  const { setTimeout, clearTimeout } = globalThis;
  globalThis.setTimeout = (act, ms) => {
    const timer = setTimeout(() => running.delete(timer) && act(), ms);
    running.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    running.delete(timer);
    if (timer) clearTimeout(timer);
  };
  return {
    running,
    async tick(seconds) {
      for (let left = Math.round(seconds * 1000); left > 0; left -= 250) {
        mock.timers.tick(Math.min(left, 250)); // a timer that another one starts counts from the end of a tick
        await settled();
      }
    },
    restore() {
      Object.assign(globalThis, { setTimeout, clearTimeout });
      mock.timers.reset();
    },
  };
}

/** When all that was promised by now has come. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** The next event of that name. */
export const next = (target, name) =>
  new Promise((resolve) => target.addEventListener(name, ({ detail }) => resolve(detail), { once: true }));

/** A source of chance that can be repeated (mulberry32). */
export function chance(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
