"""The record of one link, as plain values: what the live link keeps and the database is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proxy.core.causes import Cause, cause_of
from proxy.core.closes import Close, ClosedBy
from proxy.core.redaction import redacted


@dataclass(slots=True)
class LinkCounters:
    """Whole messages of a live link and their payload, alike on both ways that frames flow.

    `in` is all that the client sent, control messages aside, whatever becomes of it; `messages_dropped` of
    those went no further, since it was over its rate. `out` is what the client was sent until the end: its
    service's messages as a policy lets them go on, events, and answers to what it sent itself.
    `last_activity` is on the event loop's clock (seconds), 0 before the first message.
    """

    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    messages_dropped: int = 0
    last_activity: float = 0.0

    @property
    def moved(self) -> int:
        """Differs after anything has crossed."""
        return self.messages_in + self.bytes_in + self.messages_out + self.bytes_out


@dataclass(slots=True, kw_only=True)
class ConnectionRecord:
    """All that is kept of one link. Times are aware UTC; counters count whole messages and payload bytes.

    `in` is from the client, `out` is to the client. `topic` is the first of its route's own, "" for none;
    `path` is what the client asked for, without its query and without what looks like a token, bounded.
    `closed_at` None means live.
    """

    id: str
    route: str
    opened_at: datetime
    path: str = ""
    topic: str = ""
    user_id: str = ""
    email: str = ""
    client_address: str = ""
    user_agent: str = ""
    subprotocol: str = ""
    upstream: str = ""
    request_id: str = ""
    last_activity_at: datetime | None = None
    closed_at: datetime | None = None
    close_code: int | None = None
    close_reason: str = ""
    closed_by: ClosedBy | None = None
    cause: Cause | None = None
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    messages_dropped: int = 0

    def end(self, close: Close, *, by: ClosedBy, at: datetime) -> None:
        """Mark the link as closed. The first end wins; later ones change nothing."""
        if self.closed_at is None:
            self.closed_at, self.closed_by = at, by
            self.close_code, self.close_reason = close.code, redacted(close.reason)
            self.cause = cause_of(close, by)
