// Keeps a page of admin current, and says when it is not: it asks for the same page again every few seconds.
import { merge, patch } from "./rows.js";

const ASK_MS = 2000;
const ASK_AT_LEAST_MS = 3000; // so that who kills a gateway reads it on its pages within five seconds
const OPEN_MS = 2500; // so long an answer may take before the page is called stale
const ABORT_MS = 10_000;
const TIMES_AS_LONG = 10; // as an answer takes, is waited before the next: a page that is dear is asked for less often

// What changes beside the rows.
const PARTS = ["#gateway-summary", "#gateway-record", ".object-tools", ".paginator", "#changelist-search .quiet", "#gateway-filters", "#changelist-form > input[name=csrfmiddlewaretoken]"];

const table = () => document.querySelector("#result_list");
const boxes = () => document.querySelectorAll("tr input.action-select");
const ticked = () => document.querySelectorAll("tr input.action-select:checked").length;

/** Django's own script counts and ticks the rows that there were; this is what it takes for those that there are. */
const LIVE_BOXES = {
  get length() {
    return boxes().length;
  },
  forEach: (each) => boxes().forEach(each),
  [Symbol.iterator]: () => boxes()[Symbol.iterator](),
};
const bind = window.Actions;
if (bind) window.Actions = (_, options) => bind(LIVE_BOXES, options);

class Freshness {
  #heardAt = Date.now();
  #askedAt = Infinity; // while an answer is due
  #trouble = ""; // what the last answer was, if it was none
  #waiting = 0;
  #said = "";

  constructor(line, showWaiting) {
    [this.age, this.more, this.spoken] = line.children;
    this.more.addEventListener("click", showWaiting);
    setInterval(() => this.draw(), 500);
    this.draw();
  }

  asked() {
    this.#askedAt = Date.now();
  }

  heard(waiting) {
    [this.#heardAt, this.#askedAt, this.#trouble, this.#waiting] = [Date.now(), Infinity, "", waiting];
    this.draw();
  }

  failed(trouble) {
    [this.#askedAt, this.#trouble] = [Infinity, trouble];
    this.draw();
  }

  get isStale() {
    return Date.now() - this.#askedAt > OPEN_MS || this.#trouble !== "";
  }

  draw() {
    const seconds = Math.round((Date.now() - this.#heardAt) / 1000);
    const held = ticked();
    const pause = held && !this.isStale ? `, rows stay in place while ${held} ${held === 1 ? "is" : "are"} ticked` : "";
    const trouble = this.#trouble || (this.isStale ? "no answer" : "");
    this.age.textContent = trouble ? `${trouble} for ${seconds} s` : `updated ${seconds} s ago${pause}`;
    this.more.hidden = this.#waiting === 0 || this.isStale;
    this.more.textContent = `${this.#waiting} new`;
    document.body.classList.toggle("gateway-stale", this.isStale);
    this.#say(trouble);
  }

  /** To who listens, only what has changed: not each second. */
  #say(trouble) {
    const now = trouble || (this.#waiting ? `${this.#waiting} new` : "");
    if (now === this.#said) return;
    this.spoken.textContent = now || "up to date";
    this.#said = now;
  }
}

/** Somebody points at a row, reads it out, or is about to choose: no row may move under them. */
const isHeld = () =>
  ticked() > 0 ||
  table()?.querySelector("tbody:hover, tbody:focus-within") !== null ||
  table()?.contains(getSelection().isCollapsed ? null : getSelection().anchorNode);

const whatIsWrong = (answer) => {
  if (answer.redirected && new URL(answer.url).pathname.endsWith("/login/")) return "logged out";
  if (answer.redirected) return "moved";
  return answer.ok ? "" : `answered ${answer.status}`;
};

async function fetched() {
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(ABORT_MS) });
    const trouble = whatIsWrong(answer);
    return trouble ? { trouble } : { page: new DOMParser().parseFromString(await answer.text(), "text/html") };
  } catch {
    return { trouble: "no answer" };
  }
}

/** A list that was empty gets its table, and Django's script its rows. */
function fill(page) {
  const [form, fresh] = [document, page].map((each) => each.querySelector("#changelist-form"));
  if (!form || !fresh.querySelector("#result_list")) return;
  form.replaceChildren(...document.importNode(fresh, true).childNodes);
  if (boxes().length) window.Actions?.();
}

/** Somebody points at it, is in it, or has it open: nothing in it may become something else. */
const isUsed = (part) => part.matches(":hover, :focus-within, :has(details[open])");

function show(page, mayMove) {
  for (const part of PARTS) {
    const [have, want] = [document, page].map((each) => each.querySelectorAll(part));
    if (have.length === want.length) have.forEach((each, place) => isUsed(each) || patch(each, want[place]));
  }
  const fresh = page.querySelector("#result_list");
  if (!table()) return fill(page), 0;
  if (!fresh) return location.reload(), 0; // it is empty now
  const waiting = merge(table(), fresh, !mayMove && isHeld());
  count(page);
  return waiting;
}

/** Django's script counts when a box is ticked, and when somebody comes back to the page: this is as if he did. */
function count(page) {
  const [have, want] = [document, page].map((each) => each.querySelector(".action-counter"));
  const isAcross = document.querySelector("input.select-across")?.value === "1"; // all there are, also on other pages
  if (!have || !want || isAcross) return;
  have.dataset.actionsIcnt = want.dataset.actionsIcnt;
  window.dispatchEvent(new Event("pageshow"));
}

const line = document.querySelector("#gateway-freshness");
const freshness = line && new Freshness(line, () => ask(true));

async function ask(mayMove = false) {
  if (document.hidden) return;
  freshness.asked();
  const { page, trouble } = await fetched();
  if (trouble) return freshness.failed(trouble);
  if (!page.querySelector("#gateway-freshness")) return freshness.failed("not answered by this page");
  try {
    freshness.heard(show(page, mayMove));
  } catch {
    location.reload(); // it is not made as this one was: another release answers
  }
}

async function askForever() {
  const began = Date.now();
  await ask();
  const dear = TIMES_AS_LONG * (Date.now() - began);
  setTimeout(askForever, Math.min(ASK_AT_LEAST_MS, Math.max(ASK_MS, dear)));
}

if (freshness) {
  setTimeout(askForever, ASK_MS);
  document.addEventListener("visibilitychange", () => ask());
}
