// Seconds as the gateway tells them, one by one, while somebody looks.
const AGAIN_MS = 30_000; // after a refusal: too many listen, or there is no stream
const FRESH_MS = 1700; // without another for so long, the page is asked for instead

export class Stream {
  #source = null;
  #heardAt = -Infinity;
  #timer = 0;

  /** `onSecond` is called with each; `onLost` whenever none may come any more. */
  constructor(address, { onSecond, onLost }) {
    [this.address, this.onSecond, this.onLost] = [address, onSecond, onLost];
  }

  open() {
    this.close();
    this.#source = new EventSource(this.address);
    this.#source.addEventListener("second", ({ data }) => {
      this.#heardAt = performance.now();
      this.onSecond(JSON.parse(data));
    });
    this.#source.addEventListener("error", () => this.#lost());
  }

  /** Browsers have six connections to a host: a page that nobody looks at must not keep one. */
  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    [this.#source, this.#heardAt] = [null, -Infinity];
  }

  get isFresh() {
    return performance.now() - this.#heardAt < FRESH_MS;
  }

  /** The browser tries again by itself, unless it was refused. */
  #lost() {
    this.#heardAt = -Infinity;
    if (this.#source?.readyState === EventSource.CLOSED) this.#timer = setTimeout(() => this.open(), AGAIN_MS);
    this.onLost();
  }
}
