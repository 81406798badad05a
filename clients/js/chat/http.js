import { ChatError } from "./errors.js";

const ANSWER_SECONDS = 10;

/** The chat's HTTP side: JSON over fetch, by the user's token, which is asked for anew when it is refused. */
export class Http {
  #base;
  #fetch;
  #token; // ({expired}) => Promise<string>

  constructor({ base, fetch, token }) {
    [this.#base, this.#fetch, this.#token] = [base, fetch, token];
  }

  /** The parsed answer; null for none. Rejects with a ChatError: `closed` when `signal` is aborted. */
  async request(method, path, { query = {}, body, signal }) {
    const url = new URL(this.#base + path);
    for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
    const init = { method, credentials: "omit", ...(body && { body: JSON.stringify(body) }) };
    const answer = await this.#ask(url, init, { signal, expired: false });
    return read(answer.status === 401 ? await this.#ask(url, init, { signal, expired: true }) : answer);
  }

  async #ask(url, init, { signal, expired }) {
    const token = await inTime(signal, () => this.#token({ expired }));
    const headers = { Authorization: `Bearer ${token}`, ...(init.body && { "Content-Type": "application/json" }) };
    return inTime(signal, (signal) => this.#answer(url.href, { ...init, headers, signal }));
  }

  async #answer(url, init) {
    try {
      const answer = await this.#fetch(url, init);
      return { status: answer.status, text: await answer.text() };
    } catch {
      throw new ChatError("unavailable", "the gateway did not answer, or this page may not read it (ALLOWED_ORIGINS)");
    }
  }
}

/** What `act` comes to; rejects with `closed` when `ending` is aborted, with `unavailable` when it takes too long. */
async function inTime(ending, act) {
  if (ending.aborted) throw closed();
  const acting = new AbortController();
  let end;
  const ended = new Promise((_, reject) => {
    end = () => {
      reject(ending.aborted ? closed() : new ChatError("unavailable", "there was no answer in time"));
      acting.abort(); // behind it, or its own failure would be heard first
    };
  });
  const timer = setTimeout(end, ANSWER_SECONDS * 1000);
  ending.addEventListener("abort", end);
  try {
    return await Promise.race([ended, act(acting.signal)]);
  } finally {
    clearTimeout(timer);
    ending.removeEventListener("abort", end);
  }
}

const closed = () => new ChatError("closed", "the chat is closed");

function read({ status, text }) {
  const said = parsed(text);
  if (status >= 200 && status < 300 && said !== undefined) return said;
  const told = said?.retry_after_ms;
  throw new ChatError(said?.code ?? "unexpected_answer", said?.message ?? `the gateway answered ${status}`, {
    status,
    ...(told && { retryAfterSeconds: told / 1000 }),
  });
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return undefined;
  }
}
