/** Small things of the page. */

const PROBLEM_SECONDS = 8;
let hiding;

export const element = (id) => document.getElementById(id);

/** A new element; `content` is text, or other elements. Whatever users wrote is text, never HTML. */
export function made(tag, properties = {}, ...content) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...content);
  return node;
}

/** Tell the user of it, for some seconds. */
export function problem(text) {
  const shown = element("problem");
  shown.textContent = text;
  shown.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (shown.hidden = true), PROBLEM_SECONDS * 1000);
}

/** What staff say stays until it was read. */
export function notice(text) {
  const read = made("button", { type: "button", className: "quiet" }, "Close");
  read.addEventListener("click", () => element("notice").replaceChildren());
  element("notice").replaceChildren(made("span", {}, text), read);
}

/** The user id in a token; null for what is none. The gateway checks it, this only shows it. */
export function tokenOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const id = JSON.parse(new TextDecoder().decode(bytes))[document.body.dataset.userIdClaim];
    return id === undefined ? null : String(id);
  } catch {
    return null;
  }
}

/** Whether one column is shown at a time; as in page.css. */
export const isPhone = () => matchMedia("(max-width: 700px)").matches;

/** Whether the open conversation is in sight: neither behind another tab nor, on a phone, behind the list. */
export const isInSight = () => !document.hidden && element("messages").offsetParent !== null;

export const othersOf = (conversation, me) => conversation.participants.filter((user) => user !== me);

export const nameOf = (conversation, me) => othersOf(conversation, me).join(", ") || "nobody else";

export function timeOf(seconds) {
  const at = new Date(seconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" });
}
