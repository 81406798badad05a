"""Writing down what all nodes did, a row a minute: one of them does, from what all have told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import groupby
from typing import NoReturn

from proxy.cluster.samples import KEPT_SECONDS, Samples, position_of
from proxy.core.samples import Sample, of_time
from proxy.core.seconds import Seconds
from proxy.core.series import SETTLED_SECONDS
from proxy.tables import minutes, turns
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.looking import look_forever

TURN = "minutes"
# The turn stays with its node, which asks each minute, and passes on when that is gone.
TURN_SECONDS = 90.0
LOOK_SECONDS = 20.0


class MinuteWriter:
    """Writes each minute soon after its end, when it is this node's turn; also those that nobody wrote, as
    far back as what was told is kept.
    """

    def __init__(self, samples: Samples, database: DatabaseExecutor, *, node_id: str) -> None:
        self._samples, self._database, self._node_id = samples, database, node_id

    async def run(self) -> NoReturn:
        """Until cancelled. What is not written while the database or Redis is away is made up for."""
        await look_forever(self.look, seconds=LOOK_SECONDS, fails="minutes are not written")

    async def look(self) -> None:
        """Write what is due, if it is our turn. Raises what the database does, and LayerAway."""
        if await self._database.run(turns.take, TURN, self._node_id, TURN_SECONDS):
            end = int(time.time() - SETTLED_SECONDS) // 60 * 60
            newest = await self._database.run(minutes.newest)
            begin = max(end - KEPT_SECONDS, 0 if newest is None else newest + 60)
            if begin < end and (due := [each async for each in self._minutes(begin, end)]):
                await self._database.run(minutes.write, due)

    async def _minutes(self, begin: int, end: int) -> AsyncIterator[Sample]:
        """What was told of the minutes between; one of which nobody told is left out."""
        totals = [each async for each in self._seconds(begin, end)]
        for _, minute in groupby(totals, key=lambda each: each.at // 60):
            yield of_time(list(minute))

    async def _seconds(self, begin: int, end: int) -> AsyncIterator[Sample]:
        """All nodes together, in the order of time."""
        seconds, position = Seconds(), position_of(begin)
        while heard := await self._samples.read(position):
            position = heard[-1].position
            for _, told in heard:
                if told is not None and begin <= told.sample.at < end:
                    seconds.take(told, now=0.0)
            for second in seconds.due(0.0):
                yield second.total
            await asyncio.sleep(0)
        for second in seconds.due(float("inf")):
            yield second.total
