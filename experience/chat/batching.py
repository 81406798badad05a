"""What waits to be worked on, in order: all that has come meanwhile goes together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")

MOST_WAITING = 10_000


class Batches(Generic[T]):
    """A bounded queue, and the one who works on it, some things at once."""

    def __init__(self, work: Callable[[list[T]], Awaitable[None]], *, most_at_once: int) -> None:
        self._work, self._most_at_once = work, most_at_once
        self._waiting: deque[T] = deque()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def put(self, item: T) -> bool:
        """Have it worked on, behind all others. False: too many wait, and it was not taken."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append(item)
        self._idle.clear()
        self._wake.set()
        return True

    async def until_idle(self) -> None:
        """Returns once nothing waits and nothing is under way."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Until cancelled; what waits then is not worked on."""
        while True:
            while self._waiting:  # also what an earlier run has left
                count = min(self._most_at_once, len(self._waiting))
                await self._work([self._waiting.popleft() for _ in range(count)])
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()
