// One chart: its lines, a legend that switches them, marks of what happened, a range that somebody chooses, and the
// same in a sentence and in a table.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { rangeOf, short, stepWords, summaryOf, tableOf } from "./series.js";
import { chooseByTouch } from "./touch.js";

const HEIGHT = 190;
const COLOURS = 9;
const DASHES = [[], [], [], [], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lineColour = (place) => colour(`--gateway-line-${place % COLOURS}`);
const quiet = () => colour("--body-quiet-color");
const hairline = () => colour("--hairline-color");

const element = (name, { text = "", ...properties } = {}) => Object.assign(document.createElement(name), { textContent: text, ...properties });

export class Chart {
  #plot = null;
  #shown = null; // what it shows: a chart of series.js
  #off = new Set();
  #marks = [];
  #range = null;
  #anchor = null; // where a range begins that is chosen by keys

  /** `clock` makes words of Unix seconds, `zone` is that of the site, `onRange` is told what somebody chose. */
  constructor(figure, { clock, zone, onRange }) {
    [this.clock, this.zone, this.onRange] = [clock, zone, onRange];
    const part = (name) => figure.querySelector(`[data-part=${name}]`);
    [this.place, this.legend, this.summary, this.details] = ["plot", "legend", "summary", "table"].map(part);
    this.details.addEventListener("toggle", () => this.#fillTable());
    this.place.addEventListener("keydown", (event) => this.#onKey(event));
    this.place.addEventListener("blur", () => this.#plot?.setCursor({ left: -10, top: -10 }));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.place);
  }

  show(chart, marks, range) {
    const isAlike = this.#shown && String(this.#names(this.#shown)) === String(this.#names(chart));
    [this.#shown, this.#marks, this.#range] = [chart, marks, range];
    const data = [chart.at, ...chart.lines.map(({ values }) => values)];
    if (isAlike) this.#plot.setData(data);
    else this.#make(data);
    this.summary.textContent = summaryOf(chart, this.clock);
    this.#fillTable();
    this.#say(null);
  }

  choose(range) {
    this.#range = range;
    this.redraw();
  }

  /** Colours are read anew: the theme may be another. */
  redraw() {
    this.#plot?.redraw(false);
    this.#swatch();
  }

  #names = ({ lines, kind, stepSeconds }) => [kind, stepSeconds, ...lines.map(({ name }) => name)];
  #size = () => ({ width: Math.max(200, this.place.clientWidth), height: HEIGHT });

  #make(data) {
    this.#plot?.destroy();
    const { kind, lines } = this.#shown;
    const axis = { stroke: quiet, grid: { stroke: hairline, width: 1 }, ticks: { stroke: hairline, width: 1 } };
    const options = {
      ...this.#size(),
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), this.zone),
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false, dist: 6 } },
      scales: { y: { range: (_, __, most) => [0, (most || 1) * 1.08] } },
      axes: [{ ...axis, values: TIMES }, { ...axis, size: 62, incrs: kind === "delay" ? DELAYS : WHOLE, values: (_, values) => values.map((value) => short(value, kind)) }],
      series: [{}, ...lines.map(({ name }, place) => this.#series(name, place))],
      hooks: { drawClear: [() => this.#shade()], draw: [() => this.#drawMarks()], setCursor: [({ cursor }) => this.#say(cursor.idx)], setSelect: [(plot) => this.#onSelect(plot)] },
    };
    this.#plot = new uPlot(options, data, this.place);
    chooseByTouch(this.#plot);
    this.#makeLegend();
  }

  #series(name, place) {
    return { stroke: () => lineColour(place), width: 2, dash: DASHES[place % DASHES.length], points: { size: 4 }, show: !this.#off.has(name) };
  }

  #makeLegend() {
    this.legend.replaceChildren(
      ...this.#shown.lines.map(({ name, label, title }, place) => {
        const button = element("button", { type: "button", title });
        button.append(element("span", { className: "gateway-swatch" }), element("span", { text: label }), " ", element("strong"));
        button.setAttribute("aria-pressed", String(!this.#off.has(name)));
        button.addEventListener("click", () => this.#switch(name, place, button));
        const item = element("li");
        item.append(button);
        return item;
      }),
    );
    this.#swatch();
  }

  #swatch() {
    this.legend.querySelectorAll(".gateway-swatch").forEach((swatch, place) => swatch.style.setProperty("background", lineColour(place)));
  }

  #switch(name, place, button) {
    const isOff = !this.#off.delete(name);
    if (isOff) this.#off.add(name);
    button.setAttribute("aria-pressed", String(!isOff));
    this.#plot.setSeries(place + 1, { show: !isOff });
  }

  /** The values of a step beside their names; of the last one that is known when nobody points at any. */
  #say(place) {
    const { lines, kind } = this.#shown;
    this.legend.querySelectorAll("strong").forEach((value, line) => {
      const { values } = lines[line];
      value.textContent = short(place === null || place === undefined ? values.findLast((each) => each !== null) : values[place], kind);
    });
    const when = place === null || place === undefined ? "" : this.clock(this.#shown.at[place]);
    this.legend.dataset.when = when && (kind === "count" ? `${when}, ${stepWords(this.#shown.stepSeconds)}` : when);
  }

  #fillTable() {
    if (!this.details.open || !this.#shown) return;
    const { head, rows } = tableOf(this.#shown, this.clock);
    const table = this.details.querySelector("table");
    const heads = element("tr");
    heads.append(...head.map((text) => element("th", { text, scope: "col" })));
    const body = rows.map(([when, ...values]) => {
      const row = element("tr");
      row.append(element("th", { text: when, scope: "row" }), ...values.map((text) => element("td", { text })));
      return row;
    });
    table.tHead.replaceChildren(heads);
    table.tBodies[0].replaceChildren(...body);
  }

  #onSelect(plot) {
    const { left, width } = plot.select;
    if (width < 1) return;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onRange(rangeOf(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"), this.#shown.stepSeconds));
  }

  #onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") this.#letGo();
    else if (event.key === "Enter" && this.#anchor !== null) this.#chooseByKeys();
    else if (steps && this.#plot) this.#step(steps, event.shiftKey);
    else return;
    event.preventDefault();
  }

  #step(steps, isRange) {
    const last = this.#shown.at.length - 1;
    const here = this.#plot.cursor.idx ?? last;
    const place = Math.min(last, Math.max(0, here + steps));
    this.#anchor = isRange ? (this.#anchor ?? here) : null;
    this.#plot.setCursor({ left: this.#plot.valToPos(this.#shown.at[place], "x"), top: 10 });
    if (isRange) this.choose(this.#byKeys());
  }

  #letGo() {
    this.#anchor = null;
    this.onRange(null);
  }

  #byKeys() {
    const { at, stepSeconds } = this.#shown;
    return rangeOf(at[this.#anchor], at[this.#plot.cursor.idx], stepSeconds);
  }

  #chooseByKeys() {
    this.onRange(this.#byKeys());
    this.#anchor = null;
  }

  #x = (at) => Math.round(this.#plot.valToPos(at, "x", true));

  #shade() {
    if (!this.#range) return;
    const { ctx, bbox } = this.#plot;
    const [left, right] = [this.#range.since, this.#range.until].map((at) => Math.min(bbox.left + bbox.width, Math.max(bbox.left, this.#x(at))));
    ctx.save();
    ctx.fillStyle = colour("--gateway-range");
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.restore();
  }

  #drawMarks() {
    const { ctx, bbox } = this.#plot;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { at, kind } of this.#marks) {
      const x = this.#x(at);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour(`--gateway-mark-${kind}`);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}

const TENS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const WHOLE = TENS; // there are no halves of links
const DELAYS = [0.1, 0.2, 0.5, ...TENS];

// As uPlot has them, but with 24 hours: what to show where steps are that long, and where a day or a year begins.
const YEAR = "{YYYY}-{MM}-{DD}";
const DAY = "{D} {MMM}";
const TIMES = [
  [86_400, DAY, null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", `\n${DAY}`, null, `\n${DAY}`, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", `\n${YEAR}`, null, `\n${DAY}`, null, null, null, 1],
];
