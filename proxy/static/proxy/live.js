// Keeps a page of admin current, and says when it is not: it asks for the same page again every few seconds.
import { Freshness, fetched, pauseAfter } from "./freshness.js";
import { merge, patch } from "./rows.js";

// The record has whoever comes within a second: with this, the list has them within two.
const ASK_MS = 1000;
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

/** Somebody points at a row, reads it out, or is about to choose: no row may move under them. */
const isHeld = () =>
  ticked() > 0 ||
  table()?.querySelector("tbody:hover, tbody:focus-within") !== null ||
  table()?.contains(getSelection().isCollapsed ? null : getSelection().anchorNode);

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
const freshness = line && new Freshness(line, { showWaiting: () => ask(true), held: ticked });

async function ask(mayMove = false) {
  if (document.hidden) return;
  freshness.asked();
  const { page, trouble } = await fetched();
  if (trouble) return freshness.failed(trouble);
  try {
    freshness.heard(show(page, mayMove));
  } catch {
    location.reload(); // it is not made as this one was: another release answers
  }
}

async function askForever() {
  const began = Date.now();
  await ask();
  setTimeout(askForever, pauseAfter(Date.now() - began, ASK_MS));
}

if (freshness) {
  setTimeout(askForever, ASK_MS);
  document.addEventListener("visibilitychange", () => ask());
}
