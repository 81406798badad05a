"""The bounded queue of events that a client has yet to get, for links whose messages are relayed."""

from __future__ import annotations

import asyncio
from collections import deque

from proxy.core.events import Event
from proxy.core.routes import Overflow


class OutboxFull(Exception):
    """The client cannot keep up, and the route's policy is to close it."""


class Outbox:
    """Events in order, at most `max_bytes` of text. One reader.

    When an event does not fit: `Overflow.CLOSE` raises OutboxFull, `Overflow.DROP_OLDEST` drops the oldest
    events and counts them in `dropped`.
    """

    __slots__ = ("_bytes", "_events", "_max_bytes", "_overflow", "_waiter", "dropped")

    def __init__(self, *, max_bytes: int, overflow: Overflow) -> None:
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._max_bytes, self._overflow = max_bytes, overflow
        self._waiter: asyncio.Future[None] | None = None
        self.dropped = 0

    def put(self, event: Event) -> None:
        size = len(event.text.encode())
        if self._bytes + size > self._max_bytes:
            self._make_room(size)
        if size <= self._max_bytes:
            self._events.append((event, size))
            self._bytes += size
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _make_room(self, size: int) -> None:
        if self._overflow is Overflow.CLOSE:
            raise OutboxFull
        if size > self._max_bytes:  # it can never fit, and must not cost the others
            self.dropped += 1
            return
        while self._bytes + size > self._max_bytes:
            self._bytes -= self._events.popleft()[1]
            self.dropped += 1

    async def get(self) -> Event:
        """The oldest event; waits for one. May be cancelled without loss."""
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        event, size = self._events.popleft()
        self._bytes -= size
        return event

    @property
    def buffered_bytes(self) -> int:
        return self._bytes
