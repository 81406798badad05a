"""Pages that read what taps see, on one process: few, and none once it is to end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# Each holds a connection to Redis.
MOST_READERS = 8


class NotReadHere(Exception):
    """As many pages read here as may, or none may any more: another process may have room."""


class TapReaders:
    """Those of one process. Each goes on from where it was, wherever it asks next."""

    def __init__(self) -> None:
        self._readers = 0
        self._is_over = False
        self._waits: set[asyncio.Timeout] = set()

    @property
    def is_full(self) -> bool:
        return self._is_over or self._readers >= MOST_READERS

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While one page reads. Raises NotReadHere."""
        if self.is_full:
            raise NotReadHere
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

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
