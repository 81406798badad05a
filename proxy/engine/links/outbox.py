"""The bounded queue of what a client has yet to get: frames of a spliced link, events of a relayed one."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from proxy.core.routes import Overflow

ItemT = TypeVar("ItemT")


class OutboxFull(Exception):
    """The client cannot keep up, and the route's policy is to close it."""


class Outbox(Generic[ItemT]):
    """Items in order, at most `max_bytes` of them, as each is said to weigh."""

    __slots__ = ("_items", "_max_bytes", "_overflow", "buffered_bytes")

    def __init__(self, *, max_bytes: int, overflow: Overflow) -> None:
        self._items: deque[tuple[ItemT, int]] = deque()
        self._max_bytes, self._overflow = max_bytes, overflow
        self.buffered_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._items

    def items(self) -> tuple[ItemT, ...]:
        """All that waits, the oldest first."""
        return tuple(item for item, _ in self._items)

    def put(self, item: ItemT, size_bytes: int) -> int:
        """Add `item`; return how many were dropped: older ones, or itself if it can never fit.

        Raises:
            OutboxFull: it does not fit, and the policy is to close.
        """
        dropped = 0
        if self.buffered_bytes + size_bytes > self._max_bytes:
            if self._overflow is Overflow.CLOSE:
                raise OutboxFull
            if size_bytes > self._max_bytes:  # it must not cost the others
                return 1
            while self.buffered_bytes + size_bytes > self._max_bytes:
                self.take()
                dropped += 1
        self._items.append((item, size_bytes))
        self.buffered_bytes += size_bytes
        return dropped

    def take(self) -> ItemT:
        """The oldest item; there must be one."""
        item, size_bytes = self._items.popleft()
        self.buffered_bytes -= size_bytes
        return item

    def take_batch(self, size_bytes: int) -> list[ItemT]:
        """The oldest item, and more until they weigh `size_bytes` together; there must be one."""
        rest_bytes = self.buffered_bytes - size_bytes
        batch = [self.take()]
        while self._items and self.buffered_bytes > rest_bytes:
            batch.append(self.take())
        return batch
