"""The bounded queue of what a client has yet to get, beside its service's messages."""

from __future__ import annotations

from collections import deque

from proxy import metrics
from proxy.core.events import Event
from proxy.core.routes import Overflow


class OutboxFull(Exception):
    """The client cannot keep up, and the route's policy is to close it."""


class Outbox:
    """Events in order, at most `max_bytes` of them, as each is said to weigh. What it drops, it counts."""

    __slots__ = ("_items", "_max_bytes", "_overflow", "buffered_bytes")

    def __init__(self, *, max_bytes: int, overflow: Overflow) -> None:
        self._items: deque[tuple[Event, int]] = deque()
        self._max_bytes, self._overflow = max_bytes, overflow
        self.buffered_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._items

    def events(self) -> tuple[Event, ...]:
        """All that waits, the oldest first."""
        return tuple(event for event, _ in self._items)

    def put(self, event: Event, size_bytes: int) -> None:
        """Add `event`; if need be, drop older ones, or itself if it can never fit. Raises OutboxFull."""
        if self.buffered_bytes + size_bytes > self._max_bytes and self._overflow is Overflow.CLOSE:
            raise OutboxFull
        if size_bytes > self._max_bytes:  # it must not cost the others
            _count_dropped(event)
            return
        while self.buffered_bytes + size_bytes > self._max_bytes:
            _count_dropped(self.take())
        self._items.append((event, size_bytes))
        self.buffered_bytes += size_bytes

    def take(self) -> Event:
        """The oldest event; there must be one."""
        event, size_bytes = self._items.popleft()
        self.buffered_bytes -= size_bytes
        return event

    def take_batch(self, size_bytes: int) -> list[Event]:
        """The oldest event, and more until they weigh `size_bytes` together; there must be one."""
        rest_bytes = self.buffered_bytes - size_bytes
        batch = [self.take()]
        while self._items and self.buffered_bytes > rest_bytes:
            batch.append(self.take())
        return batch


def _count_dropped(event: Event) -> None:
    metrics.child(metrics.EVENTS_TOTAL, event.source, "dropped").inc()
