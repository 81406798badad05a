"""How a WebSocket ends: code, reason, and who ended it (RFC 6455, sections 5.5.1 and 7.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

MAX_REASON_BYTES = 123
NO_STATUS = 1005
ABNORMAL = 1006

# RFC 6455 7.4.1 and the IANA registry: what an endpoint may put into a close frame.
_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class ClosedBy(StrEnum):
    """Who ended a link."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"
    STAFF = "staff"
    NODE_LOST = "node_lost"


def is_sendable(code: int) -> bool:
    """True if `code` may stand in a close frame; 1005, 1006 and 1015 never may."""
    return code in _SENDABLE or 3000 <= code <= 4999


def check_sendable(close: Close) -> None:
    """ValueError if no close frame can say it; an empty one says 1005. TypeError if it is no close."""
    if not isinstance(close, Close):
        raise TypeError(f"it takes a Close, not {type(close).__name__}")
    if close.code != NO_STATUS and not is_sendable(close.code):
        raise ValueError(f"no close frame has the code {close.code}; 3000 to 4999 are for a route's own")


def clip_reason(reason: str) -> str:
    """`reason` cut to the 123 bytes of UTF-8 that a close frame can carry, never inside a character."""
    raw = reason.encode("utf-8", "replace")
    if len(raw) <= MAX_REASON_BYTES:
        return raw.decode("utf-8")
    return raw[:MAX_REASON_BYTES].decode("utf-8", "ignore")


class ComeBack(StrEnum):
    """What a client does after a close."""

    NO = "no"
    BACKOFF = "yes, with backoff"
    WHEN_TOLD = "yes, after the milliseconds in the reason; with backoff where it names none"
    FRESH_TOKEN = "yes, with a fresh token"  # noqa: S105  no password


@dataclass(frozen=True, slots=True)
class Close:
    """One close. Code 1005 stands for a close frame with no code, 1006 for no close frame at all.

    Raises TypeError for what is no code and no reason: whoever makes it can be named, who sends it cannot.
    """

    code: int = 1000
    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.code, int) or not isinstance(self.reason, str):
            kinds = type(self.code).__name__, type(self.reason).__name__
            raise TypeError(f"a close has an int and a str, a code and a reason, not {' and '.join(kinds)}")

    @property
    def comes_back(self) -> ComeBack | None:
        """What a client does after it; None for a code that is not the gateway's own: its sender knows."""
        meaning = MEANINGS.get(self.code)
        return None if meaning is None else meaning.come_back

    def saying(self, reason: str) -> Close:
        """The same code with a reason of its own, cut to what a close frame can carry."""
        return Close(self.code, clip_reason(reason))

    def for_wire(self, *, lost: Close | None = None) -> Close:
        """What to send to the other end for this close.

        An empty close stays empty (1005: send a close frame without a payload). A connection that was lost
        (1006), and any code that may not be sent, becomes `lost`, by default 1011, since the other end must
        learn that this was no clean end.
        """
        if self.code == NO_STATUS:
            return Close(NO_STATUS, "")
        if is_sendable(self.code):
            return Close(self.code, clip_reason(self.reason))
        return lost or UPSTREAM_LOST


def retry_in(close: Close, seconds: float) -> Close:
    """`close`, its reason saying when to come back: clients look for the number before ` ms`."""
    return Close(close.code, f"{close.reason}; retry in {math.ceil(seconds * 1000)} ms")


@dataclass(frozen=True, slots=True)
class Meaning:
    """When the gateway closes with a code, and whether to come back."""

    when: str
    come_back: ComeBack


# The codes that the gateway itself closes with; others are the service's. docs/protocol.md shows this table.
MEANINGS = {
    1001: Meaning("the gateway or a member of the pool stops; closed for maintenance", ComeBack.WHEN_TOLD),
    1002: Meaning("the client broke the WebSocket protocol", ComeBack.NO),
    1007: Meaning("a text message was not UTF-8", ComeBack.NO),
    1008: Meaning("not permitted; invalid data; message rate; slow consumer", ComeBack.NO),
    1009: Meaning("a message was too big; the reason begins with whose", ComeBack.NO),
    1011: Meaning("the service or the gateway failed, or the client answered no ping", ComeBack.BACKOFF),
    4001: Meaning("kicked by staff", ComeBack.NO),
    4003: Meaning("blocked", ComeBack.NO),
    4008: Meaning("nothing crossed the link for too long", ComeBack.BACKOFF),
    4009: Meaning("replaced by a newer connection of the same user", ComeBack.NO),
    4010: Meaning("the token has expired; the ticket was used, or has expired", ComeBack.FRESH_TOKEN),
    4011: Meaning("the token was revoked, or all of its user's were", ComeBack.NO),
    4013: Meaning(
        "overloaded, full or switched off; closed for maintenance; too many connections", ComeBack.WHEN_TOLD
    ),
}

# Every close of the gateway's own. Nothing else in the house names a code; a reason may be said anew
# (`saying`), and a violation of the protocol (1002, 1007) brings what the parser found.
NORMAL = Close(1000, "")
LOST = Close(ABNORMAL, "")
CLIENT_LOST = Close(1001, "client lost")
DRAINING = Close(1001, "draining")
GOING_AWAY = Close(1001, "going away")
MAINTENANCE = Close(1001, "closed for maintenance")
MEMBER_DRAINS = Close(1001, "member drains")
RESTART = Close(1001, "restart")
AUTHENTICATION_FAILED = Close(1008, "authentication failed")
INVALID_DATA = Close(1008, "invalid data")
MESSAGE_RATE = Close(1008, "message rate")
NOT_FOUND = Close(1008, "not found")
NOT_PERMITTED = Close(1008, "not permitted")
ORIGIN_REFUSED = Close(1008, "origin not allowed")
SLOW_CONSUMER = Close(1008, "slow consumer")
MESSAGE_TOO_BIG = Close(1009, "message too big")
INTERNAL_ERROR = Close(1011, "internal error")
PING_TIMEOUT = Close(1011, "ping timeout")
UPSTREAM_FAILED = Close(1011, "upstream failed")
UPSTREAM_LOST = Close(1011, "upstream lost")
UPSTREAM_TIMEOUT = Close(1011, "upstream timeout")
UPSTREAM_UNAVAILABLE = Close(1011, "upstream unavailable")
KICKED = Close(4001, "kicked by staff")
BLOCKED = Close(4003, "blocked")
IDLE = Close(4008, "idle")
REPLACED = Close(4009, "replaced by a newer connection")
TICKET_REFUSED = Close(4010, "fetch a new ticket")
TOKEN_EXPIRED = Close(4010, "token expired")
TOKEN_REVOKED = Close(4011, "token revoked")
CLOSED_FOR_MAINTENANCE = Close(4013, "closed for maintenance")
DISABLED = Close(4013, "disabled")
FULL = Close(4013, "full")
OVERLOADED = Close(4013, "overloaded")
SERVICE_BUSY = Close(4013, "service busy")
TOO_MANY_CONNECTIONS = Close(4013, "too many connections")


def too_big(sender: ClosedBy, what: str = MESSAGE_TOO_BIG.reason) -> Close:
    """A message of `sender` was: both ends read whose, and so does who reads the record."""
    return MESSAGE_TOO_BIG.saying(f"{sender}'s {what}")
