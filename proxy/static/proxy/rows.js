// Rows of a list that change under somebody's eyes: patched by what they are, and moved only where nobody is busy.

const keyOf = (row) =>
  row.dataset.key ?? row.querySelector("input.action-select")?.value ?? row.querySelector("a[href]")?.getAttribute("href") ?? "";

function patchAttributes(have, want) {
  const names = new Set([...have.attributes, ...want.attributes].map(({ name }) => name));
  names.delete("open"); // of <details>, which somebody has opened or folded
  for (const name of names)
    if (!want.hasAttribute(name)) have.removeAttribute(name);
    else if (have.getAttribute(name) !== want.getAttribute(name)) have.setAttribute(name, want.getAttribute(name));
}

/** Make `have` read as `want` does. Nodes stay where they can, and with them focus, selection and ticks. */
export function patch(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  if (have.matches("input:not([type=hidden]), select, textarea")) return; // what somebody has put there is theirs
  patchAttributes(have, want);
  const isAlike =
    have.childNodes.length === want.childNodes.length &&
    [...have.childNodes].every((child, place) => child.nodeName === want.childNodes[place].nodeName);
  if (isAlike) have.childNodes.forEach((child, place) => patch(child, want.childNodes[place]));
  else have.replaceChildren(...[...want.childNodes].map((child) => document.importNode(child, true)));
}

function patchRow(row, want) {
  const isTicked = row.classList.contains("selected");
  patch(row, want);
  row.classList.toggle("selected", isTicked);
}

/**
 * Bring `table` up to date with `fresh`, the same of a page that was asked for just now. While `isHeld` no row
 * moves: those that are gone are marked, and newcomers wait. The number of these is the answer.
 */
export function merge(table, fresh, isHeld) {
  let waiting = 0;
  const bodies = [...table.tBodies];
  [...fresh.tBodies].forEach((body, place) => (waiting += mergeBody(bodies[place], body, isHeld)));
  return waiting;
}

function mergeBody(body, fresh, isHeld) {
  const known = new Map([...body.rows].map((row) => [keyOf(row), row]));
  const wanted = [...fresh.rows];
  const keys = new Set(wanted.map(keyOf));
  for (const want of wanted) {
    const row = known.get(keyOf(want));
    if (row) patchRow(row, want);
  }
  for (const [key, row] of known) row.classList.toggle("gateway-gone", !keys.has(key));
  if (isHeld) return wanted.filter((want) => !known.has(keyOf(want))).length;
  let next = body.firstElementChild;
  for (const want of wanted) {
    const row = known.get(keyOf(want)) ?? document.importNode(want, true);
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
  }
  for (const [key, row] of known) if (!keys.has(key)) row.remove();
  return 0;
}
