/** The chat page: who comes in, the list of conversations, and the one that is open. All of the wire is the client's. */
import { Chat } from "../sluicegate-client/chat.js";
import { Connection } from "./connection.js";
import { ConversationList } from "./list.js";
import { element, isPhone, notice, problem, tokenOf } from "./parts.js";
import { Thread } from "./thread.js";

const KEPT = "sluicegate-chat-token"; // of this tab alone
const REFUSED = "sluicegate-chat-refused"; // why the last token was, for who is asked for another

const NO_TOKEN = "That is no token.";

const fragments = takenFromFragment();
let token = fragments ?? sessionStorage.getItem(KEPT);
if (token && tokenOf(token)) comeIn();
else askForToken(fragments && NO_TOKEN);

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  if (tokenOf(token)) comeIn();
  else element("refused").textContent = NO_TOKEN;
});
// Another user's address, given to this tab, loads nothing by itself: only the fragment is another one.
addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());

/** A fragment reaches no server and no log; it leaves the address bar, too. */
function takenFromFragment() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) history.replaceState(null, "", location.pathname);
  return given;
}

function askForToken(why) {
  element("login").hidden = false;
  element("token").focus();
  element("refused").textContent = why || (sessionStorage.getItem(REFUSED) ?? "");
  sessionStorage.removeItem(REFUSED);
}

/** On a fresh page, on which nothing of this one is left. */
function refused(why) {
  sessionStorage.removeItem(KEPT);
  sessionStorage.setItem(REFUSED, `Refused: ${why}.`);
  location.reload();
}

function comeIn() {
  sessionStorage.setItem(KEPT, token);
  const me = tokenOf(token);
  element("login").hidden = true;
  element("chat").hidden = false;
  element("me").textContent = me;
  const chat = new Chat(location.origin, { token: () => token });
  const thread = new Thread(chat, me);
  const list = new ConversationList(chat, me, { onOpen: show, onLoaded: () => thread.refresh(list.find(thread.id)) });
  chat.addEventListener("current", ({ detail }) => thread.isCurrent(list.find(detail.conversationId)));
  listen(chat, list, thread);
  new Connection(chat, refused);
  chat.open();

  function show(conversation) {
    if (isPhone() && !history.state) history.pushState("talking", ""); // whose way back is the phone's own, too
    element("chat").classList.add("talking");
    list.open(conversation.id);
    thread.show(conversation);
  }
}

function listen(chat, list, thread) {
  chat.addEventListener("state", ({ detail }) => detail === "open" && list.load());
  chat.addEventListener("missed", () => list.load());
  chat.addEventListener("message", ({ detail }) => {
    if (detail.type === "staff.message") return notice(detail.text);
    list.hear(detail);
    thread.hear(detail);
  });
  chat.addEventListener("error", ({ detail }) => problem(detail.message));
  element("begin").addEventListener("submit", (event) => begin(event, list));
  element("back").addEventListener("click", () => back(list));
  document.addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && back(list));
  if (history.state) history.replaceState(null, ""); // of before a reload
  addEventListener("popstate", ({ state }) => {
    element("chat").classList.toggle("talking", state === "talking");
    list.focus();
  });
  element("leave").addEventListener("click", () => {
    sessionStorage.removeItem(KEPT);
    chat.close();
    location.reload();
  });
}

function back(list) {
  if (history.state) return history.back();
  element("chat").classList.remove("talking");
  list.focus();
}

/** One that these two have already is opened; the API would make another. */
async function begin(event, list) {
  event.preventDefault();
  const field = element("with");
  try {
    await list.begin(field.value.trim());
    field.value = "";
  } catch (error) {
    problem(error.message);
  }
}
