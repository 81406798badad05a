// How old the page is that somebody looks at: asks for it again, and says when nobody answers.
export const ASK_MS = 2000;
// Together less than five seconds: so soon a page says that its gateway is gone, also when its port is still open.
export const ASK_AT_LEAST_MS = 2500;
const OPEN_MS = 2000; // so long an answer may take before the page is called stale
const ABORT_MS = 10_000;
const TIMES_AS_LONG = 10; // as an answer takes, is waited before the next: a page that is dear is asked for less often
const LOGGED_OUT = "logged out";

export const pauseAfter = (tookMs, leastMs = ASK_MS) =>
  Math.min(ASK_AT_LEAST_MS, Math.max(leastMs, TIMES_AS_LONG * tookMs));

/** What a page says of its age: in `line`, of `templates/admin/proxy/freshness.html`. */
export class Freshness {
  #held;
  #heardAt = Date.now();
  #askedAt = Infinity; // while an answer is due
  #trouble = ""; // what the last answer was, if it was none
  #waiting = 0;
  #said = "";

  /** `held` answers how many rows somebody has ticked, so that none moves. */
  constructor(line, { showWaiting, held = () => 0 }) {
    this.#held = held;
    [this.age, this.login, this.more, this.spoken] = line.children;
    this.more.addEventListener("click", showWaiting);
    setInterval(() => this.draw(), 500);
    this.draw();
  }

  /** An answer is due from now on, if none was yet. */
  asked() {
    this.#askedAt = Math.min(this.#askedAt, Date.now());
    setTimeout(() => this.draw(), OPEN_MS);
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
    return Date.now() - this.#askedAt >= OPEN_MS || this.#trouble !== "";
  }

  draw() {
    const seconds = Math.round((Date.now() - this.#heardAt) / 1000);
    const held = this.#held();
    const pause = held && !this.isStale ? `, rows stay in place while ${held} ${held === 1 ? "is" : "are"} ticked` : "";
    const trouble = this.#trouble || (this.isStale ? "no answer" : "");
    this.age.textContent = trouble ? `${trouble} for ${seconds} s` : `updated ${seconds} s ago${pause}`;
    this.#leadToLogin(trouble === LOGGED_OUT);
    this.more.hidden = this.#waiting === 0 || this.isStale;
    this.more.textContent = `${this.#waiting} new`;
    document.body.classList.toggle("gateway-stale", this.isStale);
    this.#say(trouble);
  }

  /** And from there back to what the page shows by then: a range may have been chosen since it came. */
  #leadToLogin(isDue) {
    this.login.hidden = !isDue;
    if (isDue) this.login.search = new URLSearchParams({ next: location.pathname + location.search });
  }

  /** To who listens, only what has changed: not each second. */
  #say(trouble) {
    const now = trouble || (this.#waiting ? `${this.#waiting} new` : "");
    if (now === this.#said) return;
    this.spoken.textContent = now || "up to date";
    this.#said = now;
  }
}

const whatIsWrong = (answer) => {
  if (answer.redirected && new URL(answer.url).pathname.endsWith("/login/")) return LOGGED_OUT;
  if (answer.redirected) return "moved";
  return answer.ok ? "" : `answered ${answer.status}`;
};

/** This page as it is now and its `etag`, none where it is as the headers say; or what is wrong. `headers` go with the question. */
export async function fetched(headers = {}) {
  try {
    const answer = await fetch(location.href, { headers, signal: AbortSignal.timeout(ABORT_MS) });
    if (answer.status === 304) return {};
    const trouble = whatIsWrong(answer);
    if (trouble) return { trouble };
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.querySelector("#gateway-freshness") ? { page, etag: answer.headers.get("ETag") ?? "" } : { trouble: "not answered by this page" };
  } catch {
    return { trouble: "no answer" };
  }
}
