// The Live page: figures as they come, rows when somebody came or left, charts of a span of time; and how old all is.
import { ASK_AT_LEAST_MS, Freshness, fetched } from "../freshness.js";
import { merge, patch } from "../rows.js";
import { Charts } from "./charts.js";
import { figuresOf, figuresOfNode, hasChanges } from "./figures.js";
import { Rates, points, rateWords } from "./rates.js";
import { Stream } from "./stream.js";

const LOOK_MS = 400;
const BUSY_MS = 4000; // after somebody came or left: their rows are written a moment later
const CALM_MS = 10_000; // while seconds come and nobody comes or goes, the rest of the page is asked for so often
const PARTS = ["#gateway-verdict", "#gateway-figures", "#gateway-range", "#gateway-node-cards", "#gateway-member-cards"];

const root = document.querySelector("#gateway-live-page");
const tables = () => [...root.querySelectorAll("table[data-rows]")];
const rates = new Rates();

/** Somebody points at a row, reads it out, or has put focus there: no row of its table may move under them. */
const isHeld = (table) =>
  table.querySelector("tbody:hover, tbody:focus-within") !== null ||
  table.contains(getSelection().isCollapsed ? null : getSelection().anchorNode);

class Page {
  #lately = null; // the last ten seconds as one: of one alone there may be nothing, since nodes count every five
  #waiting = 0;
  #trouble = ""; // of the last answer: while there is one, seconds alone do not make the page whole
  #isAsking = false;
  #mayMove = false; // somebody chose a range or wants what is new, and the question for it has yet to go
  #etag = ""; // of what is shown, while it is all of what there was
  #nextAt = 0;
  #busyUntil = 0;
  #calmUntil = 0;

  constructor() {
    this.freshness = new Freshness(document.querySelector("#gateway-freshness"), { showWaiting: () => this.ask(true) });
    this.stream = new Stream(root.dataset.events, { onSecond: (second) => this.#onSecond(second), onLost: () => this.ask() });
    this.charts = new Charts(root, { onRange: (range) => this.#choose(range) });
    document.addEventListener("visibilitychange", () => this.#onVisible());
    setInterval(() => this.#look(), LOOK_MS);
    this.#drawRates();
    this.#nextAt = performance.now() + ASK_AT_LEAST_MS; // it has just come
    this.#listen();
  }

  #onVisible() {
    if (document.hidden) return this.stream.close();
    this.#listen();
    this.ask();
  }

  #listen() {
    if (document.hidden) return;
    this.stream.open();
    this.charts.open();
  }

  #look() {
    const now = performance.now();
    if (document.hidden || now < this.#nextAt) return;
    const isCalm = this.stream.isFresh && !this.#trouble && now > this.#busyUntil;
    if (!isCalm || now > this.#calmUntil) this.ask();
  }

  #onSecond(second) {
    this.#lately = second.lately ?? this.#lately; // of what was missed there is only each second
    if (hasChanges(second)) this.#busyUntil = performance.now() + BUSY_MS;
    this.#drawFigures();
    if (!this.#trouble) this.freshness.heard(this.#waiting);
  }

  async ask(mayMove = false) {
    if (document.hidden) return;
    if (!this.stream.isFresh) this.freshness.asked();
    this.#mayMove ||= mayMove;
    if (this.#isAsking) return;
    this.#isAsking = true;
    do await this.#askOnce();
    while (this.#mayMove); // what was chosen meanwhile
    this.#isAsking = false;
  }

  async #askOnce() {
    const mayMove = this.#mayMove;
    this.#mayMove = false;
    const known = this.#etag && !mayMove ? { "If-None-Match": this.#etag } : {};
    const { page, etag, trouble } = await fetched({ "X-Asked-Again": "1", ...known });
    this.#trouble = trouble ?? "";
    const now = performance.now();
    [this.#nextAt, this.#calmUntil] = [now + ASK_AT_LEAST_MS, now + CALM_MS];
    if (trouble) return this.freshness.failed(trouble);
    try {
      this.freshness.heard(page ? this.#show(page, mayMove) : this.#waiting);
      if (page) this.#etag = tables().some(isHeld) ? "" : etag; // rows that may not move have yet to
    } catch {
      location.reload(); // it is not made as this one was: another release answers
    }
  }

  #show(page, mayMove) {
    for (const part of PARTS) {
      const [have, want] = [document, page].map((each) => each.querySelector(part));
      if (have && want) patch(have, want);
    }
    this.#waiting = 0;
    for (const table of tables()) {
      const fresh = page.querySelector(`table[data-rows="${table.dataset.rows}"]`);
      this.#waiting += merge(table, fresh, !mayMove && isHeld(table));
    }
    this.#drawRates();
    if (this.stream.isFresh) this.#drawFigures();
    return this.#waiting;
  }

  #drawFigures() {
    if (!this.#lately) return;
    const fill = (part, figures) => {
      for (const [name, text] of Object.entries(figures)) {
        const place = part?.querySelector(`[data-figure=${name}]`);
        if (place && place.textContent !== text) place.textContent = text;
      }
    };
    fill(document.querySelector("#gateway-figures"), figuresOf(this.#lately));
    for (const node of this.#lately.nodes) fill(root.querySelector(`[data-node="${CSS.escape(node.id)}"]`), figuresOfNode(node));
  }

  /** Beside each rate its last minutes, as far as this page has seen them. */
  #drawRates() {
    const rows = [...root.querySelectorAll("tr[data-messages]")];
    rates.keep(new Set(rows.map((row) => row.dataset.key)));
    for (const row of rows) {
      const seen = rates.note(row.dataset.key, Number(row.dataset.messages), performance.now(), row.dataset.before);
      if (seen.length > 1) row.querySelector(".gateway-rate").replaceChildren(rateWords(seen.at(-1)), " ", sparkline(seen));
    }
  }

  #choose(range) {
    const address = new URL(location.href);
    for (const name of ["since", "until"])
      if (range) address.searchParams.set(name, range[name]);
      else address.searchParams.delete(name);
    history.replaceState(null, "", address);
    this.charts.choose(range);
    this.ask(true);
  }
}

function sparkline(seen) {
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const drawing = make("svg", { viewBox: "-1 -1 62 18", width: 62, height: 18, class: "gateway-spark", "aria-hidden": "true" });
  drawing.append(make("polyline", { points: points(seen, 60, 16) }));
  return drawing;
}

if (root) new Page();
