"""One-time tickets: what a client shows in a URL in place of its token.

A ticket is 32 random bytes, in letters. Stores know it by a hash, and have what it stands for sealed with
another: who reads a store learns neither the ticket nor the token. Behind a dot it may name the route that
serves its client in place of the one that is asked for. The hashes are of all of it, so that a client who
writes another name there has no ticket.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import asdict, dataclass, field

from proxy.core import closes
from proxy.core.errors import AuthenticationFailed, GatewayError

TICKET_SECONDS = 30
SECRET_BYTES = 32
_SHAPE = re.compile(r"[\w-]{43}(?:\.([\w-]{1,1024}))?", re.ASCII)


# Why a ticket is not taken. Which it was of the first, nobody knows: what was taken is forgotten.
TICKET_REASONS = {
    "ticket_gone": "The ticket was used, has expired, or is none.",
    "ticket_route": "The ticket is for another route.",
    "ticket_address": "The ticket is for a client of another address.",
    "ticket_conflicting": "A ticket stands alone: two different ones were sent, or a token beside it.",
}


class TicketRefused(AuthenticationFailed):
    """No ticket, or not one for this. `reason` is one of TICKET_REASONS; it never shows the ticket."""

    code = "ticket_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason, self.message = reason, TICKET_REASONS[reason]
        if reason in {"ticket_gone", "ticket_address"}:  # another would do
            self.close = closes.TICKET_REFUSED

    @property
    def cause(self) -> str:
        return self.reason


class TicketsUnavailable(GatewayError):
    """Redis is away, so that nobody can issue a ticket, or tell whether one was used."""

    status = 503
    close = closes.OVERLOADED
    code = "tickets_unavailable"
    message = "Tickets cannot be issued or taken right now; try again with a new one."
    retry_after_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket stands for: the token with which it was bought, on one of the routes of these names.

    `address` "": wherever the client comes from; else only from there, as the gateway sees it.
    """

    token: str = field(repr=False)
    routes: tuple[str, ...]
    address: str = ""

    def check(self, *, route: str, address: str) -> None:
        """Raises TicketRefused: it was not bought for that route, or not for a client of that address."""
        if route not in self.routes:
            raise TicketRefused("ticket_route")
        if self.address not in ("", address):
            raise TicketRefused("ticket_address")

    def encoded(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, encoded: bytes) -> Ticket:
        fields = json.loads(encoded)
        return cls(token=fields["token"], routes=tuple(fields["routes"]), address=fields["address"])


def write(secret: bytes, *, served_by: str = "") -> str:
    """The ticket of 32 random bytes, in characters that a URL takes as they are."""
    return _letters(secret) + (f".{_letters(served_by.encode())}" if served_by else "")


def is_one(text: str) -> bool:
    """Whether it has the shape of a ticket; of what has not, no store needs to be asked."""
    return _SHAPE.fullmatch(text) is not None


def served_by(text: str) -> str:
    """The route that a ticket names, "" for none; until it is taken, anybody may have written it there."""
    found = _SHAPE.fullmatch(text)
    if found is None or found[1] is None:
        return ""
    padded = found[1] + "=" * (-len(found[1]) % 4)
    try:
        return base64.urlsafe_b64decode(padded).decode()
    except ValueError:
        return ""


def key_of(text: str) -> str:
    """By what stores know the ticket."""
    return _derived(text, "key").hex()


def seal_of(text: str) -> bytes:
    """The 32 bytes with which what it stands for is sealed: once, as there is one such message a ticket."""
    return _derived(text, "seal")


def _derived(text: str, purpose: str) -> bytes:
    return hmac.digest(text.encode(), f"sluicegate ticket {purpose}".encode(), hashlib.sha256)


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
