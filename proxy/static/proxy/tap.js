// Adds what goes over a tapped connection to its page as it comes. All of it is foreign text: it is never markup.
const MOST_LINES = 500; // as templates show at most
const AGAIN_MS = 5000;
const list = document.querySelector("#gateway-seen");
const state = document.querySelector("#gateway-tap-state");
const leftOut = document.querySelector("#gateway-left-out");
const WAYS = { in: "from client", out: "to client" };

/** `532 bytes`; as `head_of` of proxy/admin/tap_lines.py says it. */
const bytes = (count) => `${count.toLocaleString("en")} ${count === 1 ? "byte" : "bytes"}`;

function headOf(line) {
  const when = new Date(line.at * 1000).toISOString().slice(11, 23);
  const parts = [when, WAYS[line.way], line.kind, bytes(line.size)];
  if (line.wire) parts.push(`${bytes(line.wire)} compressed`);
  if (line.cut) parts.push("cut");
  if (line.left_out) parts.push(`${line.left_out.toLocaleString("en")} left out before`);
  return parts.join(" · ");
}

function itemOf(line) {
  const item = document.createElement("li");
  item.className = line.way === "in" ? "gateway-in" : "gateway-out";
  const head = item.appendChild(document.createElement("small"));
  head.textContent = headOf(line);
  if (line.text) {
    const text = item.appendChild(document.createElement("pre"));
    text.dir = "auto";
    text.textContent = line.text;
  }
  return item;
}

/** Who reads further up is not moved. */
function add(lines) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(...lines.map(itemOf));
  while (list.children.length > MOST_LINES) list.firstElementChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function say(words, isStale = false) {
  if (state.textContent !== words) state.textContent = words;
  document.body.classList.toggle("gateway-stale", isStale);
}

class Stream {
  #position = list.dataset.position;

  open() {
    const url = `${list.dataset.events}?after=${this.#position}`;
    this.source = new EventSource(url);
    this.source.addEventListener("open", () => say("Looking."));
    this.source.addEventListener("seen", (event) => this.#take(event));
    this.source.addEventListener("end", () => this.#end("Logged out, or not permitted any more."));
    this.source.addEventListener("error", () => this.#failed());
  }

  #take(event) {
    this.#position = event.lastEventId;
    const told = JSON.parse(event.data);
    add(told.lines);
    if (told.left_out !== null) leftOut.textContent = told.left_out.toLocaleString("en");
    if (told.ended) this.#end(`Over: ${told.ended}.`);
  }

  #end(words) {
    this.source.close();
    document.querySelector(".gateway-tap-stop button").hidden = true;
    say(words);
  }

  #failed() {
    say("No answer: what comes now may be missing.", true);
    if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.open(), AGAIN_MS);
  }
}

list.scrollTop = list.scrollHeight;
if (!list.dataset.ended) new Stream().open();
