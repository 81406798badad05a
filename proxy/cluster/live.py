"""What all nodes do, second by second, read once a process for all pages that show it.

Nothing is read while nobody asks. Who listens hears each second as the same bytes; who does not keep up is
left behind, and comes back with the last second that it has heard of.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import NamedTuple, NoReturn

from proxy.cluster.samples import AT_ONCE, KEPT_SECONDS, Samples, position_of
from proxy.core import backoff
from proxy.core.samples import Sample
from proxy.core.seconds import LATELY_SECONDS, Second, Seconds, lately
from proxy.core.wording import in_words
from proxy.engine.calls import wait_at_most

logger = logging.getLogger(__name__)

MOST_LISTENERS = 64
# For who has fallen behind by so many seconds there is no use in hearing them late.
MOST_WAITING = 30
# Reading goes on for so long after the last who asked: a page that is loaded again finds what was read.
LINGER_SECONDS = 60.0
# What one second's nodes tell comes within a moment: it is read together.
_GATHER_SECONDS = 0.05
_BLOCK_SECONDS = 1.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.25, 2.0


class Full(Exception):
    """As many listen as may, or nobody may any more."""


class Told(NamedTuple):
    """A second as pages are told of it."""

    total: Sample
    event: bytes


class Listener:
    """One page. `is_left_behind` once it has not taken what waited for it, or the process ends."""

    def __init__(self, missed: list[Told]) -> None:
        self._waiting = deque(missed)
        self._most_waiting = len(missed) + MOST_WAITING
        self._came = asyncio.Event()
        self.is_left_behind = False

    def hear(self, told: Told) -> None:
        """Called on the event loop."""
        if self.is_left_behind:
            return
        self._waiting.append(told)
        if len(self._waiting) > self._most_waiting:
            self.leave_behind()
        self._came.set()

    def leave_behind(self) -> None:
        self.is_left_behind = True
        self._waiting.clear()
        self._came.set()

    async def events(self, *, within_seconds: float) -> bytes:
        """What has come, or comes first within so long; nothing if nothing does, or it is left behind."""
        if not (self._waiting or self.is_left_behind):
            self._came.clear()
            await wait_at_most(within_seconds, self._came.wait())
        events = b"".join(told.event for told in self._waiting)
        self._waiting.clear()
        return events


class LiveSeconds:
    """The reader of one process, and its listeners. `run` reads while anybody asks, until cancelled."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._listeners: set[Listener] = set()
        self._asked_until = 0.0
        self._is_asked = asyncio.Event()
        self._has_caught_up = asyncio.Event()
        self._told: deque[Told] = deque(maxlen=KEPT_SECONDS)
        self._last = deque[Second](maxlen=LATELY_SECONDS)
        self._ends = False

    @property
    def is_full(self) -> bool:
        return self._ends or len(self._listeners) >= MOST_LISTENERS

    async def caught_up(self, *, within_seconds: float = 2.0) -> None:
        """Have what was told in the last quarter of an hour read, and wait for that; no longer, though."""
        self._ask()
        await wait_at_most(within_seconds, self._has_caught_up.wait())

    def since(self, at: int) -> list[Told]:
        """The seconds that are known and began then or later, the first one first."""
        return list(takewhile(lambda told: told.total.at >= at, reversed(self._told)))[::-1]

    def lately(self, since: int) -> Sample | None:
        """What all did in the last seconds that are known; None if none of them began at `since` or later."""
        known = bool(self._last) and self._last[-1].at >= since
        return lately(self._last).total if known else None

    @contextmanager
    def listening(self, last_at: int | None) -> Iterator[Listener]:
        """It hears what comes, and first what came behind a second, where one is given. Raises Full."""
        if self.is_full:
            raise Full
        listener = Listener([] if last_at is None else self.since(last_at + 1))
        self._listeners.add(listener)
        try:
            self._ask()
            yield listener
        finally:
            self._listeners.discard(listener)
            self._ask()

    def end(self) -> None:
        """Nobody may listen any more: who does is to ask another process."""
        self._ends = True
        for listener in self._listeners:
            listener.leave_behind()

    @property
    def _is_wanted(self) -> bool:
        return bool(self._listeners) or asyncio.get_running_loop().time() < self._asked_until

    def _ask(self) -> None:
        self._asked_until = asyncio.get_running_loop().time() + LINGER_SECONDS
        self._is_asked.set()

    async def run(self) -> NoReturn:
        """Read whenever somebody asks."""
        try:
            while True:
                if not self._is_wanted:
                    self._is_asked.clear()
                    await self._is_asked.wait()
                self._has_caught_up.clear()
                self._told.clear()
                self._last.clear()
                await self._follow()
        finally:
            await self._samples.close()

    async def _follow(self) -> None:
        """Read what is kept, and what comes, while anybody asks."""
        clock, seconds = asyncio.get_running_loop().time, Seconds()
        position, waits, is_away = position_of(time.time() - KEPT_SECONDS), _waits(), False
        while self._is_wanted:
            try:
                heard = await self._samples.read(position, wait_seconds=self._patience(seconds, clock()))
            except OSError as error:
                if not is_away:
                    logger.warning("what nodes do cannot be read", extra={"why": in_words(error)})
                is_away = True
                await asyncio.sleep(next(waits))
                continue
            if is_away:
                is_away, waits = False, _waits()
            for position, told in heard:  # noqa: B007  where the next read begins
                if told is not None:
                    seconds.take(told, now=clock())
            if len(heard) < AT_ONCE:
                self._has_caught_up.set()
            self._give(seconds, clock())
            await asyncio.sleep(_GATHER_SECONDS if self._has_caught_up.is_set() else 0)

    def _patience(self, seconds: Seconds, now: float) -> float:
        """How long to wait for something to be told."""
        due_seconds = seconds.wait_seconds(now)
        if not self._has_caught_up.is_set():
            return 0.0
        return _BLOCK_SECONDS if due_seconds is None else min(_BLOCK_SECONDS, due_seconds)

    def _give(self, seconds: Seconds, now: float) -> None:
        due = list(seconds.due(now))
        for second in due:
            self._last.append(second)
            # What was long ago is of use to charts alone.
            is_last = second is due[-1] and self._has_caught_up.is_set()
            told = Told(second.total, event_of(second, lately(self._last) if is_last else None))
            self._told.append(told)
            for listener in self._listeners:
                listener.hear(told)


def _waits() -> Iterator[float]:
    return backoff.delays(_FIRST_WAIT_SECONDS, longest_seconds=_LONGEST_WAIT_SECONDS)


def event_of(second: Second, recent: Second | None) -> bytes:
    """As Server-Sent Events say it, with the last seconds as one where they are known. Its id is the second:
    any process can tell what came behind it.
    """
    more = {} if recent is None else {"lately": recent.told()}
    text = json.dumps(second.told() | more, separators=(",", ":"))
    return f"id: {second.at}\nevent: second\ndata: {text}\n\n".encode()
