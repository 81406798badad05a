"""Pages that read what taps see, on one process: of few taps, few of each, and none once it is to end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# Taps that are read on a process, and streams of one: of two windows, and of one that is about to go. Each
# stream holds a connection to Redis.
MOST_TAPS_READ = 8
MOST_STREAMS = 3


class NotReadHere(Exception):
    """As many pages read here as may, or none may any more: another process may have room."""


class TapReaders:
    """Those of one process. Each goes on from where it was, wherever it asks next."""

    def __init__(self) -> None:
        self._streams: Counter[str] = Counter()  # by tap
        self._is_over = False
        self._waits: set[asyncio.Timeout] = set()

    def has_room(self, tap_id: str) -> bool:
        """Whether one more page may read that tap here."""
        if self._is_over or self._streams[tap_id] >= MOST_STREAMS:
            return False
        return tap_id in self._streams or len(self._streams) < MOST_TAPS_READ

    @contextmanager
    def reading(self, tap_id: str) -> Iterator[None]:
        """While one page reads that tap. Raises NotReadHere."""
        if not self.has_room(tap_id):
            raise NotReadHere
        self._streams[tap_id] += 1
        try:
            yield
        finally:
            self._streams[tap_id] -= 1
            if not self._streams[tap_id]:
                del self._streams[tap_id]

    async def wait(self, waiting: Awaitable[T]) -> T:
        """What a page waits for, or NotReadHere as soon as none may read any more."""
        try:
            async with asyncio.timeout(0 if self._is_over else None) as wait:
                self._waits.add(wait)
                found = await waiting
        except TimeoutError:
            if wait.expired():
                raise NotReadHere from None
            raise
        finally:
            self._waits.discard(wait)
        if self._is_over:
            raise NotReadHere
        return found

    def end(self) -> None:
        """No page may read here any more: a stream that goes on would hold up the drain."""
        self._is_over = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)
