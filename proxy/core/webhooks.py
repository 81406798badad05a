"""What a webhook is told: events, and requests that are signed by the rules of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from proxy.core.records import ConnectionRecord
from proxy.core.refusal_records import RefusalRecord

Event = Mapping[str, Any]
_SECRET = "whsec_"  # noqa: S105  how one begins
_SECRET_BYTES = range(24, 65)


class EventType(StrEnum):
    OPENED = "connection.opened"
    CLOSED = "connection.closed"
    REFUSED = "connection.refused"
    MEMBER_DOWN = "member.down"
    MEMBER_UP = "member.up"


def event_of(kind: EventType, event_id: str, at: datetime, data: Mapping[str, Any]) -> Event:
    """`event_id` is by what a receiver knows one that comes again."""
    return {"id": event_id, "type": kind.value, "timestamp": at.isoformat(), "data": data}


def opened(record: ConnectionRecord) -> Event:
    return event_of(EventType.OPENED, f"{record.id}.opened", record.opened_at, _who(record))


def closed(record: ConnectionRecord) -> Event:
    """Raises ValueError for one that is open."""
    if record.closed_at is None:
        raise ValueError(f"{record.id} has no end")
    told = _who(record) | {
        "opened_at": record.opened_at.isoformat(),
        "cause": record.cause and record.cause.value,
        "closed_by": record.closed_by and record.closed_by.value,
        "code": record.close_code,
        "reason": record.close_reason,
        "messages_in": record.messages_in,
        "messages_out": record.messages_out,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
    }
    return event_of(EventType.CLOSED, f"{record.id}.closed", record.closed_at, told)


def _who(record: ConnectionRecord) -> dict[str, Any]:
    return {
        "connection_id": record.id,
        "request_id": record.request_id,
        "route": record.route,
        "path": record.path,
        "user_id": record.user_id,
        "client_address": record.client_address,
        "user_agent": record.user_agent,
        "upstream": record.upstream,
    }


def refused(record: RefusalRecord) -> Event:
    told = {
        "request_id": record.request_id,
        "route": record.route,
        "path": record.path,
        "user_id": record.user_id,
        "client_address": record.client_address,
        "user_agent": record.user_agent,
        "upstream": record.upstream,
        "cause": record.cause,
        "status": record.status,
        "reason": record.reason,
    }
    return event_of(EventType.REFUSED, record.id, record.refused_at, told)


class PendingEvents:
    """Those that wait to be told, in order, `most` of them; beyond, the oldest are given up.

    Refusals, of which strangers make as many as they like, are given up when they find half of that waiting.
    A batch that comes back is the next one again, as it was. Every operation is O(1) an event.
    """

    def __init__(self, *, most: int = 10_000) -> None:
        self._most = most
        self._waiting: deque[Event] = deque()
        self._batch: list[Event] = []
        self._comes_back = False
        self.dropped = 0

    @property
    def count(self) -> int:
        """All of them, those that are being told included."""
        return len(self._waiting) + len(self._batch)

    @property
    def waiting(self) -> int:
        """Those that are not part of the batch being told."""
        return self.count if self._comes_back else len(self._waiting)

    def note(self, event: Event) -> None:
        is_refusal = event["type"] == EventType.REFUSED
        if is_refusal and len(self._waiting) >= self._most // 2:
            self.dropped += 1
            return
        self._waiting.append(event)
        if self.count > self._most:
            self._waiting.popleft()
            self.dropped += 1

    def take(self, most: int) -> list[Event]:
        """The next batch; it counts as being told until `written` or `put_back`."""
        if not self._comes_back:
            self._batch = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._comes_back = False
        return list(self._batch)

    def written(self) -> None:
        """The batch was told."""
        self._batch = []

    def put_back(self) -> None:
        """The batch was not told."""
        self._comes_back = bool(self._batch)


class MemberChanges:
    """Which members of pools have gone down or come back between two looks."""

    def __init__(self) -> None:
        self._down: frozenset[tuple[str, str]] = frozenset()

    def look(self, down: Iterable[tuple[str, str]]) -> list[tuple[EventType, str, str]]:
        """What has changed since the last look: a type, the pool's name, and the member's URL."""
        before, self._down = self._down, frozenset(down)
        went = [(EventType.MEMBER_DOWN, *member) for member in sorted(self._down - before)]
        return went + [(EventType.MEMBER_UP, *member) for member in sorted(before - self._down)]


def secret_key(text: str) -> bytes:
    """The key that `whsec_…` stands for. Raises ValueError for anything else."""
    if not text.startswith(_SECRET):
        raise ValueError("no secret of a webhook")
    key = base64.b64decode(text.removeprefix(_SECRET), validate=True)
    if len(key) not in _SECRET_BYTES:
        raise ValueError(f"a secret has {_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1} bytes")
    return key


def body_of(events: Sequence[Event], *, node_id: str) -> bytes:
    """What is posted: several events, in order. Nothing that is no Unicode stands in it."""
    told = {"type": "gateway.events", "node": node_id, "timestamp": events[-1]["timestamp"], "data": events}
    return json.dumps(told).encode()


def signed(body: bytes, key: bytes, *, message_id: str, at: int) -> dict[str, str]:
    """The headers by which a receiver knows who has sent it, and when (Unix seconds)."""
    meant = b".".join((message_id.encode(), str(at).encode(), body))
    signature = base64.b64encode(hmac.digest(key, meant, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }
