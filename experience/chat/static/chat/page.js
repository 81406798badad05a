/** The chat page: who comes in, the list of conversations, and the one that is open. All of the wire is the client's. */
import { Chat } from "../sluicegate-client/chat.js";
import { ConversationList } from "./list.js";
import { element, problem, tokenOf } from "./parts.js";
import { Thread } from "./thread.js";

const STATES = { open: "connected", connecting: "connecting", waiting: "away, comes back", closed: "ended", idle: "" };
const KEPT = "sluicegate-chat-token"; // of this tab alone

let token = takenFromFragment() ?? sessionStorage.getItem(KEPT);
if (token && tokenOf(token)) comeIn();
else element("login").hidden = false;

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  if (!tokenOf(token)) return problem("That is no token.");
  comeIn();
});

/** A fragment reaches no server and no log; it leaves the address bar, too. */
function takenFromFragment() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) history.replaceState(null, "", location.pathname);
  return given;
}

function comeIn() {
  sessionStorage.setItem(KEPT, token);
  const me = tokenOf(token);
  element("login").hidden = true;
  element("chat").hidden = false;
  element("me").textContent = me;
  document.title = `Chat: ${me}`;
  const chat = new Chat(location.origin, { token: () => token });
  const list = new ConversationList(chat, me, (conversation) => show(conversation));
  const thread = new Thread(chat, me);
  listen(chat, list, thread);
  chat.open();

  function show(conversation) {
    element("chat").classList.add("talking");
    list.open(conversation.id);
    thread.show(conversation);
  }
}

function listen(chat, list, thread) {
  chat.addEventListener("state", ({ detail }) => {
    element("state").dataset.state = detail;
    element("state").textContent = STATES[detail] ?? detail;
    if (detail === "open") list.load();
  });
  chat.addEventListener("missed", () => list.load());
  chat.addEventListener("message", ({ detail }) => {
    list.hear(detail);
    thread.hear(detail);
  });
  chat.addEventListener("error", ({ detail }) => problem(detail.message));
  chat.addEventListener("close", ({ detail }) => detail.comesBack || problem(`Ended: ${detail.reason || detail.code}`));
  element("begin").addEventListener("submit", (event) => begin(event, chat, list));
  element("back").addEventListener("click", () => back(list));
  document.addEventListener("keydown", (event) => event.key === "Escape" && back(list));
  element("leave").addEventListener("click", () => {
    sessionStorage.removeItem(KEPT);
    chat.close();
    location.reload();
  });
}

function back(list) {
  element("chat").classList.remove("talking");
  list.focus();
}

/** One that these two have already is opened; the API would make another. */
async function begin(event, chat, list) {
  event.preventDefault();
  const field = element("with");
  try {
    await list.begin(field.value.trim());
    field.value = "";
  } catch (error) {
    problem(error.message);
  }
}
