"""What charts show: minutes from the table, and what came since from what nodes have told."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any, NamedTuple

from proxy.cluster.live import LiveSeconds
from proxy.core.samples import Sample
from proxy.core.series import SPANS, Span, series
from proxy.tables import minutes
from proxy.tables.executor import DatabaseExecutor

# Minutes are read once in so long, however many pages show them.
READ_SECONDS = 30.0
# A span whose steps are shorter is of seconds alone.
_MINUTE_SECONDS = 60


class _Read(NamedTuple):
    """Minutes, added up by step, and from when on there are none yet."""

    at: float
    steps: list[Sample]
    end: int


class Charts:
    """The series of one process."""

    def __init__(self, live: LiveSeconds) -> None:
        self._live = live
        self._read: dict[str, _Read] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def series(self, name: str) -> dict[str, Any]:
        """Raises KeyError for what is no span, and what the database does."""
        span, now = SPANS[name], int(time.time())
        await self._live.caught_up()
        steps, end = list[Sample](), span.steps(now).start
        if span.step_seconds >= _MINUTE_SECONDS:
            async with self._turns[name]:
                _, steps, end = await self._minutes(span, end)
        return series(span, [*steps, *(told.total for told in self._live.since(end))], now=now)

    async def _minutes(self, span: Span, begin: int) -> _Read:
        """Of the table, which another who asked may have read just now."""
        now = asyncio.get_running_loop().time()
        read = self._read.get(span.name)
        if read is None or now - read.at > READ_SECONDS:
            database = DatabaseExecutor()  # of its own: the record does not wait for ten thousand rows
            try:
                newest = await database.run(minutes.newest)
                steps = await database.run(minutes.by_step, begin, step_seconds=span.step_seconds)
            finally:
                await database.close()
            end = begin if newest is None else max(begin, newest + 60)
            read = self._read[span.name] = _Read(now, steps, end)
        return read
