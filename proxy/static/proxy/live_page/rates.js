// How fast each link is, from what its row says each time that it is asked for. Pure: time is passed in.

const EVERY_MS = 5000; // nodes write a row's counters about as often
const MOST_POINTS = 24;

export class Rates {
  #known = new Map();

  /** What has been counted of `key` until `now`. Answers its rates a second, the oldest first. `before` is what others were
   * shown of it until now, as the page says it: `seconds ago:counted`, the oldest first. */
  note(key, counted, now, before = "") {
    if (!this.#known.has(key)) this.#remember(key, before, now);
    const known = this.#known.get(key) ?? { counted, at: now, rates: [] };
    this.#known.set(key, known);
    const passed = now - known.at;
    if (passed >= EVERY_MS) {
      known.rates = [...known.rates, (Math.max(0, counted - known.counted) * 1000) / passed].slice(-MOST_POINTS);
      [known.counted, known.at] = [counted, now];
    }
    return known.rates;
  }

  #remember(key, before, now) {
    for (const point of before.split(" ").filter(Boolean)) {
      const [secondsAgo, counted] = point.split(":").map(Number);
      const at = now - secondsAgo * 1000;
      if (this.#known.has(key)) this.note(key, counted, at);
      else this.#known.set(key, { counted, at, rates: [] });
    }
  }

  /** Forget all but these. */
  keep(keys) {
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
  }
}

/** Points of a line through `rates` in a box, as SVG has them; the highest is at its top. */
export function points(rates, width, height) {
  const most = Math.max(...rates, 1e-9);
  const step = width / Math.max(1, rates.length - 1);
  return rates.map((rate, place) => `${(place * step).toFixed(1)},${(height - (rate / most) * height).toFixed(1)}`).join(" ");
}

/** `0.04/s`, `3.1/s`, `1,200/s`, as the page itself has it. */
export function rateWords(rate) {
  if (!rate) return "0/s";
  const digits = rate >= 10 ? 0 : rate >= 1 ? 1 : 2;
  return `${rate.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}/s`;
}
