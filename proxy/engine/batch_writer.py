"""Writes what waits in batches, off the hot path: one at a time, in order, again after a failure.

Whoever writes being slow or away never touches who notes. What waits is bounded by its `Pending`, what is
given up is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import random
from typing import Generic, Protocol, TypeVar

from prometheus_client import Counter

from proxy import metrics
from proxy.core.backoff import delays, jittered
from proxy.engine.calls import call_within

log = logging.getLogger(__name__)

T = TypeVar("T")
Write = Callable[[Sequence[T]], Awaitable[object]]


class Pending(Protocol[T]):
    """What waits to be written, and how much of it may."""

    @property
    def dropped(self) -> int:
        """What was given up since there was no room."""

    @property
    def count(self) -> int:
        """All of it, what is being written included."""

    @property
    def waiting(self) -> int:
        """What is not part of the batch being written."""

    def take(self, most: int) -> list[T]:
        """The next batch; it counts as being written until `written` or `put_back`."""

    def written(self) -> None:
        """The batch has arrived."""

    def put_back(self) -> None:
        """The batch has not arrived."""


class BatchWriter(Generic[T]):
    """Brings `pending` to `write`, which must write all that it is given or raise.

    Batches are written one after another and in order. A `write` that is cancelled may still take effect
    later, as long as it does so before the next one. `name` begins each line in the log, `place` is where it
    writes to, and `dropped_total` counts what is given up at the end.
    """

    def __init__(
        self,
        pending: Pending[T],
        write: Write[T],
        *,
        name: str,
        place: str = "the database",
        dropped_total: Counter = metrics.RECORDS_DROPPED_TOTAL,
        batch_rows: int = 100,
        flush_seconds: float = 1.0,
        write_timeout_seconds: float = 15.0,
    ) -> None:
        self._pending, self._write, self._name = pending, write, name
        self._place, self._dropped_total = place, dropped_total
        self._batch_rows = batch_rows
        self._flush_seconds = flush_seconds
        self._write_timeout_seconds = write_timeout_seconds
        self._writing = asyncio.Lock()
        self._unwritten = 0
        self._away = False

    @property
    def queue_length(self) -> int:
        """How many are not yet written."""
        return self._pending.count

    @property
    def dropped(self) -> int:
        """How many were given up: because too many waited, or because the last deadline passed."""
        return self._pending.dropped + self._unwritten

    async def run(self) -> None:
        """Write whatever waits until cancelled; what is pending then stays pending, for `close`."""
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self._flush_until_written(first_seconds=self._flush_seconds)

    async def flush(self) -> None:
        """Write what waits now, in batches. Raises what `write` raises, or TimeoutError; nothing is lost."""
        async with self._writing:
            left = self._pending.waiting
            while left > 0 and (batch := self._pending.take(min(left, self._batch_rows))):
                left -= len(batch)
                await self._write_batch(batch)

    async def close(self, deadline_seconds: float) -> int:
        """Write the rest, trying again until the deadline. Answers how many were given up."""
        try:
            async with asyncio.timeout(deadline_seconds):
                while self._pending.waiting or self._writing.locked():
                    await self._flush_until_written(first_seconds=0.1)
        except TimeoutError:
            self._unwritten += self._pending.count
            self._dropped_total.inc(self._pending.count)
            log.error("%s: gave up %d, %s is away", self._name, self._pending.count, self._place)
        return self._pending.count

    async def _write_batch(self, batch: Sequence[T]) -> None:
        try:
            await call_within(self._write_timeout_seconds, self._write(batch))
        except BaseException:
            self._pending.put_back()
            raise
        self._pending.written()

    async def _flush_until_written(self, *, first_seconds: float) -> None:
        for delay_seconds in delays(first_seconds, longest_seconds=15.0):
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001  the task's outermost edge: a link never pays for the record
                self._log_away(error)
            else:
                self._log_back()
                return
            await asyncio.sleep(jittered(delay_seconds, fraction=0.2, random=random()))  # noqa: S311

    def _log_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("%s: cannot write, %d pending: %r", self._name, self._pending.count, error)
        self._away = True

    def _log_back(self) -> None:
        if self._away:
            log.info("%s: writing again, %d dropped so far", self._name, self.dropped)
        self._away = False
