// The four charts of the Live page: what they show is asked for as often as it changes, and while somebody looks.
import { Chart } from "./chart.js";
import { chartsOf, pauseOf } from "./series.js";

const AGAIN_MS = 10_000;
const ABORT_MS = 10_000;

const said = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "{}");

async function json(address) {
  const answer = await fetch(address, { signal: AbortSignal.timeout(ABORT_MS), headers: { Accept: "application/json" } });
  if (!answer.ok || answer.redirected) throw new Error(`answered ${answer.status}`);
  return answer.json();
}

export class Charts {
  #span = "15m";
  #timer = 0;
  #marks = [];
  #told = null;
  #range = null;

  constructor(root, { onRange }) {
    const { zone, series, marks } = root.dataset;
    [this.root, this.addresses, this.naming] = [root, { series, marks }, said("gateway-words")];
    this.#range = rangeIn(new URLSearchParams(location.search));
    const options = { clock: (at) => this.#clock(at), zone, onRange };
    this.short = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.long = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    this.all = new Map([...root.querySelectorAll("[data-chart]")].map((figure) => [figure.dataset.chart, new Chart(figure, options)]));
    for (const button of root.querySelectorAll("[data-span]")) button.addEventListener("click", () => this.#choose(button.dataset.span));
    this.#onTheme(() => this.all.forEach((chart) => chart.redraw()));
    root.querySelector("#gateway-charts").hidden = false;
  }

  /** Now, and from now on. */
  open() {
    clearTimeout(this.#timer);
    this.#ask();
  }

  choose(range) {
    this.#range = range;
    this.all.forEach((chart) => chart.choose(range));
  }

  #clock = (at) => (this.#told?.step_seconds >= 300 ? this.long : this.short).format(new Date(at * 1000));

  #choose(span) {
    this.#span = span;
    for (const button of this.root.querySelectorAll("[data-span]")) button.setAttribute("aria-pressed", String(button.dataset.span === span));
    this.open();
  }

  async #ask() {
    if (document.hidden) return;
    const span = this.#span;
    let pause = AGAIN_MS;
    try {
      const [told, { marks }] = await Promise.all([this.addresses.series, this.addresses.marks].map((address) => json(`${address}?span=${span}`)));
      if (span !== this.#span) return; // another was chosen meanwhile, and is asked for
      pause = pauseOf(told.step_seconds);
      [this.#told, this.#marks] = [told, marks];
      this.#draw();
      this.#say("");
    } catch (error) {
      this.#say(`No figures for the charts: ${error.message}.`);
    }
    if (span === this.#span) this.#timer = setTimeout(() => this.#ask(), pause);
  }

  #draw() {
    for (const chart of chartsOf(this.#told, this.naming)) this.all.get(chart.id).show(chart, this.#marks, this.#range);
    const items = this.#marks.map(({ at, kind, words }) => {
      const item = Object.assign(document.createElement("li"), { className: `gateway-mark-${kind}` });
      item.append(Object.assign(document.createElement("strong"), { textContent: this.#clock(at) }), ` ${words}`);
      return item;
    });
    this.root.querySelector("#gateway-marks").replaceChildren(...items.reverse());
  }

  #say(trouble) {
    const line = this.root.querySelector("#gateway-charts-trouble");
    if (line.textContent !== trouble) line.textContent = trouble;
  }

  #onTheme(redraw) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }
}

function rangeIn(query) {
  const [since, until] = ["since", "until"].map((name) => Number(query.get(name)));
  return since && until ? { since, until } : null;
}
