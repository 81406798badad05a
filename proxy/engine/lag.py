"""How late the event loop is: the first thing to look at when everything is slow."""

from __future__ import annotations

import asyncio
import time

from proxy import metrics


class LoopLag:
    """`seconds` is how much later than asked the loop woke us, the worst of the last few measurements.

    A loop that is held measures nothing. So each measurement leaves its time in the metrics, for siblings,
    who go on to be scraped, to tell.
    """

    def __init__(self, *, interval_seconds: float = 0.5, kept: int = 20) -> None:
        self._interval_seconds = interval_seconds
        self._measured = [0.0] * kept

    @property
    def seconds(self) -> float:
        return max(self._measured)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        turn = 0
        while True:
            metrics.LOOP_BEATEN_AT.set(time.time())
            asked = loop.time() + self._interval_seconds
            await asyncio.sleep(self._interval_seconds)
            self._measured[turn % len(self._measured)] = max(0.0, loop.time() - asked)
            turn += 1
