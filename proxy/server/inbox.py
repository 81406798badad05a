"""What waits for an application to receive it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from proxy.core.closes import Close, ClosedBy

Event = dict[str, Any]


class Inbox:
    """A queue of ASGI events with a price each; the owner stops reading while it is full.

    It has no bound of its own: `is_full` asks the owner to stop, and the owner parses small slices, so that
    it can be overrun by one slice only.
    """

    __slots__ = ("_end", "_events", "_waiters", "bytes_waiting", "max_bytes", "max_events", "on_taken")

    def __init__(self, *, max_bytes: int, max_events: int) -> None:
        # None while nothing waits: an empty deque weighs 760 bytes.
        self._events: deque[tuple[Event, int]] | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._end: Event | None = None
        self.on_taken: Callable[[], None] | None = None
        self.bytes_waiting = 0
        self.max_bytes, self.max_events = max_bytes, max_events

    @property
    def is_full(self) -> bool:
        return self.bytes_waiting >= self.max_bytes or self._count() >= self.max_events

    @property
    def has_room(self) -> bool:
        """True when reading should go on: half of the bound is free again."""
        return self.bytes_waiting <= self.max_bytes // 2 and self._count() <= self.max_events // 2

    def _count(self) -> int:
        return len(self._events) if self._events is not None else 0

    def put(self, event: Event, *, size_bytes: int = 0) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append((event, size_bytes))
        self.bytes_waiting += size_bytes
        self._wake()

    def end(self, close: Close, *, by: ClosedBy) -> None:
        """Nothing comes after what waits already but `websocket.disconnect`; the first end wins."""
        if self._end is None:
            self._end = {
                "type": "websocket.disconnect",
                "code": close.code,
                "reason": close.reason,
                "sluicegate.closed_by": by,
            }
            self._wake()

    async def receive(self) -> Event:
        """ASGI receive. The last event is `websocket.disconnect`, however often one asks after it.

        Nothing else comes of a spliced leg: its life is told of what concerns it. Safe to cancel.
        """
        while self._events is None:
            if self._end is not None:
                return self._end
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = [*(self._waiters or ()), waiter]
            try:
                await waiter
            finally:
                if self._waiters is not None and waiter in self._waiters:  # it was given up
                    self._waiters.remove(waiter)
        event, size_bytes = self._events.popleft()
        self.bytes_waiting -= size_bytes
        if not self._events:
            self._events = None
        if self.on_taken is not None:
            self.on_taken()
        return event

    def _wake(self) -> None:
        """Let each `receive` look again: hardly ever there are two, and one of them is being given up."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
