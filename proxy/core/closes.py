"""How a WebSocket ends: code, reason, and who ended it (RFC 6455, sections 5.5.1 and 7.4)."""

from __future__ import annotations

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


def clip_reason(reason: str) -> str:
    """`reason` cut to the 123 bytes of UTF-8 that a close frame can carry, never inside a character."""
    raw = reason.encode("utf-8", "replace")
    if len(raw) <= MAX_REASON_BYTES:
        return raw.decode("utf-8")
    return raw[:MAX_REASON_BYTES].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class Close:
    """One close. Code 1005 stands for a close frame with no code, 1006 for no close frame at all."""

    code: int = 1000
    reason: str = ""

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


NORMAL = Close(1000, "")
LOST = Close(ABNORMAL, "")
GOING_AWAY = Close(1001, "going away")
PROTOCOL_ERROR = Close(1002, "protocol error")
INVALID_DATA = Close(1008, "invalid data")
AUTHENTICATION_FAILED = Close(1008, "authentication failed")
RATE_LIMITED = Close(1008, "rate limit")
SLOW_CONSUMER = Close(1008, "slow consumer")
MESSAGE_TOO_BIG = Close(1009, "message too big")
INTERNAL_ERROR = Close(1011, "internal error")
UPSTREAM_FAILED = Close(1011, "upstream failed")
UPSTREAM_LOST = Close(1011, "upstream lost")
CLIENT_LOST = Close(1001, "client lost")
OVERLOADED = Close(4013, "overloaded, try again later")
KICKED = Close(4001, "kicked by staff")
BLOCKED = Close(4003, "blocked")
IDLE = Close(4008, "idle")
REPLACED = Close(4009, "replaced by a newer connection")
TOKEN_EXPIRED = Close(4010, "token expired")
TOKEN_REVOKED = Close(4011, "token or identity revoked")
