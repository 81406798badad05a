// Adds what goes over a tapped connection to its page as it comes. All of it is foreign text: it is never markup.
const MOST_LINES = 500; // as templates show at most
const AGAIN_MS = 2000;
const STALE_MS = 4500; // two beats of proxy/http/tapping.py, and a little
const GIVE_UP_MS = 10_000; // what has been silent for so long is asked for anew
const list = document.querySelector("#gateway-seen");
const state = document.querySelector("#gateway-tap-state");
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

/** How many messages are not shown, by why; nothing is said of none. A beat tells none of it. */
function count(told) {
  for (const line of document.querySelectorAll("[data-unseen]")) {
    const number = told[line.dataset.unseen];
    if (number === null || number === undefined) continue;
    line.querySelector("span").textContent = number.toLocaleString("en");
    line.hidden = number === 0;
  }
}

const age = document.createElement("span");
age.ariaHidden = "true"; // who listens hears once that nothing comes, not each second

function say(words, isStale = false) {
  if (state.firstChild?.textContent !== words) state.replaceChildren(words, age);
  document.body.classList.toggle("gateway-stale", isStale);
}

class Stream {
  #position = list.dataset.position;
  #heardAt = Date.now();
  #askedAt = Date.now();
  #isLost = false;
  #isAway = false; // Redis, over which the link's node tells
  #clock = setInterval(() => this.#draw(), 500);

  open() {
    this.#askedAt = Date.now();
    this.source = new EventSource(this.#url);
    this.source.addEventListener("beat", () => this.#heard());
    this.source.addEventListener("away", () => this.#away());
    this.source.addEventListener("seen", (event) => this.#take(event));
    this.source.addEventListener("end", () => this.#loggedOut());
    this.source.addEventListener("error", () => this.#failed());
  }

  get #url() {
    return `${list.dataset.events}?after=${this.#position}`;
  }

  #heard() {
    this.#heardAt = this.#askedAt = Date.now();
    this.#isLost = this.#isAway = false;
    this.#draw();
  }

  #away() {
    this.#askedAt = Date.now();
    this.#isLost = false;
    this.#isAway = true;
    this.#draw();
  }

  #take(event) {
    this.#heard();
    this.#position = event.lastEventId;
    const told = JSON.parse(event.data);
    add(told.lines);
    count(told);
    if (told.ended) this.#end(`Over: ${told.ended}.`);
  }

  #draw() {
    const silentMs = Date.now() - this.#heardAt;
    const isStale = this.#isLost || this.#isAway || silentMs >= STALE_MS;
    age.textContent = isStale ? ` for ${Math.round(silentMs / 1000)} s: what comes now may be missing.` : "";
    say(isStale ? (this.#isAway ? "Redis is away" : "No answer") : "Looking.", isStale);
    const isOpen = this.source.readyState !== EventSource.CLOSED;
    if (isOpen && Date.now() - Math.max(this.#heardAt, this.#askedAt) >= GIVE_UP_MS) this.#again();
  }

  #loggedOut() {
    this.#end("Logged out, or not permitted any more.");
  }

  #end(words) {
    clearInterval(this.#clock);
    this.source.close();
    document.querySelector(".gateway-tap-stop button").hidden = true;
    age.textContent = "";
    say(words);
  }

  #failed() {
    this.#isLost = true;
    this.#draw();
    if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.#again(), AGAIN_MS);
  }

  /** An EventSource does not say what it was answered: this asks once, and reads nothing. */
  async #again() {
    this.source.close();
    const asking = new AbortController();
    const patience = setTimeout(() => asking.abort(), GIVE_UP_MS);
    try {
      const answer = await fetch(this.#url, { redirect: "manual", signal: asking.signal });
      if (answer.status === 403 || answer.type === "opaqueredirect") return this.#loggedOut();
      if (answer.ok) return this.open();
    } catch {
      // as when it is away
    } finally {
      clearTimeout(patience);
      asking.abort();
    }
    setTimeout(() => this.#again(), AGAIN_MS);
  }
}

list.scrollTop = list.scrollHeight;
if (!list.dataset.ended) new Stream().open();
