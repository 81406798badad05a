/**
 * No ticket was to be had. `close` is the one that a socket with that token would have been refused with, so that whether
 * to come back, and when, is one table's to say (docs/protocol.md).
 */
export class NoTicket extends Error {
  constructor(close) {
    super(close.reason);
    this.name = "NoTicket";
    this.close = close;
  }
}

/** What opens one socket on `route`, once and soon. Throws NoTicket; and what `fetch` throws, when nobody answers. */
export async function buyTicket(url, { route, token, fetch, signal }) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ route }),
    credentials: "omit",
    signal,
  });
  const told = await answer.json().catch(() => null);
  if (answer.status === 201 && typeof told?.ticket === "string") return told.ticket;
  throw new NoTicket(closeOf(answer.status, told ?? {}));
}

const CODES = { token_expired: 4010, token_revoked: 4011, blocked: 4003 };

function closeOf(status, { code, message = `no ticket: ${status}`, retry_after_ms: ms }) {
  if (status === 429 || status === 503)
    return { code: 4013, reason: Number.isFinite(ms) ? `${message} retry in ${ms} ms` : message };
  return { code: CODES[code] ?? (status < 500 ? 1008 : 1011), reason: message };
}
