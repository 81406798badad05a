"""The bounded queue of what a client has yet to get, beside the messages of a service that has a socket."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from proxy import metrics
from proxy.core.routes import Overflow


class Waiting(Protocol):
    """What may wait: it says where it came from, a metric's label."""

    source: str


WaitingT = TypeVar("WaitingT", bound=Waiting)


class OutboxFull(Exception):
    """The client cannot keep up, and the route's policy is to close it."""


class Outbox(Generic[WaitingT]):
    """Events in order: the first, and at most `max_bytes` behind it, as each is said to weigh. What it drops,
    it counts. The first is bounded by who publishes; it must not end a link whose client has all before it.
    """

    __slots__ = ("_items", "_max_bytes", "_overflow", "buffered_bytes")

    def __init__(self, *, max_bytes: int, overflow: Overflow) -> None:
        self._items: deque[tuple[WaitingT, int]] = deque()
        self._max_bytes, self._overflow = max_bytes, overflow
        self.buffered_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._items

    def events(self) -> tuple[WaitingT, ...]:
        """All that waits, the oldest first."""
        return tuple(event for event, _ in self._items)

    def put(self, event: WaitingT, size_bytes: int) -> None:
        """Add `event`; if need be, drop older ones, or itself if it can never fit. Raises OutboxFull."""
        if not self._fits(size_bytes):
            if self._overflow is Overflow.CLOSE:
                raise OutboxFull
            if size_bytes > self._max_bytes:  # it must not cost the others
                _count_dropped(event)
                return
            while not self._fits(size_bytes):
                _count_dropped(self.take())
        self._items.append((event, size_bytes))
        self.buffered_bytes += size_bytes

    def _fits(self, size_bytes: int) -> bool:
        """As the first of all, or behind it."""
        return not self._items or self.buffered_bytes - self._items[0][1] + size_bytes <= self._max_bytes

    def take(self) -> WaitingT:
        """The oldest event; there must be one."""
        event, size_bytes = self._items.popleft()
        self.buffered_bytes -= size_bytes
        return event

    def take_batch(self, size_bytes: int) -> list[WaitingT]:
        """The oldest event, and more until they weigh `size_bytes` together; there must be one."""
        rest_bytes = self.buffered_bytes - size_bytes
        batch = [self.take()]
        while self._items and self.buffered_bytes > rest_bytes:
            batch.append(self.take())
        return batch


def _count_dropped(event: Waiting) -> None:
    metrics.child(metrics.EVENTS_TOTAL, event.source, "dropped").inc()
