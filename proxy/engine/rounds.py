"""Keeping another side in line with what is wanted here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import NoReturn

Tell = Callable[[Sequence[str]], Awaitable[object]]


class Rounds:
    """Tells another side what is wanted and what no more, in rounds: each for all that differs at its begin.

    What changes meanwhile has the next round, so that a storm of changes keeps nobody waiting for its end.
    What is wanted again before it was taken back is not told at all. `key in rounds` is true while the other
    side has it. `wanted` is looked at, and told of by `changed`.
    """

    def __init__(self, wanted: Collection[str], *, add: Tell, discard: Tell) -> None:
        self._wanted, self._add, self._discard = wanted, add, discard
        self._has, self._changed = set[str](), set[str]()
        self._is_due = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []

    def __contains__(self, key: str) -> bool:
        return key in self._has

    def changed(self, key: str) -> None:
        """It is wanted now, or no more."""
        self._changed.add(key)
        self._is_due.set()

    def begin_anew(self, keys: Iterable[str]) -> None:
        """The other side has nothing; `keys` are wanted."""
        self._has.clear()
        self._changed = set(keys)
        self._is_due.set()

    def next_round(self) -> asyncio.Future[None]:
        """Done when the next round is over, however it went, or when there will be none."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._is_due.set()
        return waiter

    def let_go(self) -> None:
        """Nobody waits any more: there is no next round for now."""
        waiters, self._waiters = self._waiters, []
        _answer(waiters)

    async def run(self) -> NoReturn:
        """One round after another, whenever there is something to tell. Raises what telling does."""
        while True:
            await self._is_due.wait()
            await self.settle()

    async def settle(self) -> None:
        """One round: tell what differs now, then answer who waited for it."""
        self._is_due.clear()
        changed, self._changed = self._changed, set()
        waiters, self._waiters = self._waiters, []
        fresh = [key for key in changed if key in self._wanted and key not in self._has]
        gone = [key for key in changed if key not in self._wanted and key in self._has]
        self._has.difference_update(gone)  # at once: what is wanted again meanwhile has to be told anew
        try:
            if fresh:
                await self._add(fresh)
                self._has.update(fresh)
            if gone:
                await self._discard(gone)
        finally:
            _answer(waiters)


def _answer(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
