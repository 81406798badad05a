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
    const headers = { Authorization: `Bearer ${await this.#token({ expired })}` };
    if (init.body) headers["Content-Type"] = "application/json";
    const asking = new AbortController();
    const abort = () => asking.abort();
    const timer = setTimeout(abort, ANSWER_SECONDS * 1000);
    signal.addEventListener("abort", abort);
    try {
      signal.throwIfAborted();
      const answer = await this.#fetch(url.href, { ...init, headers, signal: asking.signal });
      return { status: answer.status, text: await answer.text() };
    } catch {
      throw new ChatError(signal.aborted ? "closed" : "unavailable", "the gateway did not answer");
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }
}

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
