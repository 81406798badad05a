"""Keeps the record of links off the hot path: notes are taken at once, written in batches by one task.

The database being slow or away never touches a link. What waits is coalesced (one snapshot a link), bounded
(core/pending.py says what goes first), retried with backoff, and what is dropped is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import random

from proxy import metrics
from proxy.core.backoff import delays, jittered
from proxy.core.pending import PendingRecords
from proxy.core.records import ConnectionRecord
from proxy.engine.calls import call_within

log = logging.getLogger(__name__)

Write = Callable[[Sequence[ConnectionRecord]], Awaitable[object]]
Progress = Callable[[], Iterable[ConnectionRecord]]

_NEVER_NOTED = -1
_PROGRESS_CHUNK = 200


class Recorder:
    """Writes snapshots of links through `write`, which must write them all or raise.

    Batches are written one after another and in order, so that an older snapshot never replaces a newer one.
    A `write` that is cancelled may still take effect later, as long as it does so before the next one.

    `progress` yields the record of every live link, counters up to date; it is walked in chunks over
    `progress_seconds`, so it must walk a copy of a registry that changes meanwhile. Only links whose counters
    moved are noted, and only those that were noted when they opened.
    """

    def __init__(
        self,
        write: Write,
        *,
        progress: Progress = tuple,
        max_pending: int = 50_000,
        batch_rows: int = 100,
        flush_seconds: float = 1.0,
        progress_seconds: float = 5.0,
        write_timeout_seconds: float = 15.0,
    ) -> None:
        self._write = write
        self._progress = progress
        self._pending = PendingRecords(most=max_pending)
        self._noted: dict[str, int] = {}
        self._batch_rows = batch_rows
        self._flush_seconds = flush_seconds
        self._progress_seconds = progress_seconds
        self._write_timeout_seconds = write_timeout_seconds
        self._writing = asyncio.Lock()
        self._unwritten = 0
        self._away = False

    @property
    def queue_length(self) -> int:
        """Snapshots not yet in the database."""
        return self._pending.count

    @property
    def dropped(self) -> int:
        """Snapshots given up: because too many waited, or because the last deadline passed."""
        return self._pending.dropped + self._unwritten

    def note(self, record: ConnectionRecord) -> None:
        """Take a snapshot of a link that opened, changed or closed. Synchronous, O(1), never fails."""
        if record.closed_at is None:
            self._noted[record.id] = _traffic(record)
        else:
            self._noted.pop(record.id, None)
        dropped_before = self._pending.dropped
        dropped_id = self._pending.note(record)
        metrics.RECORDS_DROPPED_TOTAL.inc(self._pending.dropped - dropped_before)
        if dropped_id is not None:
            self._noted[dropped_id] = _NEVER_NOTED

    def note_all(self) -> None:
        """Have every live link noted again by the next progress, as after others closed their records."""
        self._noted = dict.fromkeys(self._noted, _NEVER_NOTED)

    async def run(self) -> None:
        """Write and note progress until cancelled; what is pending then stays pending, for `close`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._flush_forever(), name="recorder:flush")
            tasks.create_task(self._progress_forever(), name="recorder:progress")

    async def flush(self) -> None:
        """Write what waits now, in batches. Raises what `write` raises, or TimeoutError; nothing is lost."""
        async with self._writing:
            left = self._pending.waiting
            while left > 0 and (batch := self._pending.take(min(left, self._batch_rows))):
                left -= len(batch)
                await self._write_batch(batch)

    async def close(self, deadline_seconds: float) -> int:
        """Write the rest, trying again until the deadline. Answers how many snapshots were given up."""
        try:
            async with asyncio.timeout(deadline_seconds):
                while self._pending.waiting or self._writing.locked():
                    await self._flush_until_written(first_seconds=0.1)
        except TimeoutError:
            self._unwritten += self._pending.count
            metrics.RECORDS_DROPPED_TOTAL.inc(self._pending.count)
            log.error("record: gave up %d snapshots, the database is away", self._pending.count)
        return self._pending.count

    async def note_progress(self, *, over_seconds: float = 0.0) -> None:
        """Note every live link whose counters moved, in chunks spread over `over_seconds`."""
        pause_seconds = over_seconds / (1 + len(self._noted) // _PROGRESS_CHUNK)
        for position, record in enumerate(self._progress(), 1):
            noted = self._noted.get(record.id)
            if noted is not None and record.closed_at is None and noted != _traffic(record):
                self.note(record)
            if position % _PROGRESS_CHUNK == 0:
                await asyncio.sleep(pause_seconds)

    async def _write_batch(self, batch: Sequence[ConnectionRecord]) -> None:
        try:
            await call_within(self._write_timeout_seconds, self._write(batch))
        except BaseException:
            self._pending.put_back()
            raise
        self._pending.written()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self._flush_until_written(first_seconds=self._flush_seconds)

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

    async def _progress_forever(self) -> None:
        while True:
            started = asyncio.get_running_loop().time()
            await self.note_progress(over_seconds=self._progress_seconds)
            took_seconds = asyncio.get_running_loop().time() - started
            await asyncio.sleep(max(0.0, self._progress_seconds - took_seconds))

    def _log_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("record: cannot write, %d pending: %r", self._pending.count, error)
        self._away = True

    def _log_back(self) -> None:
        if self._away:
            log.info("record: writing again, %d dropped so far", self.dropped)
        self._away = False


def _traffic(record: ConnectionRecord) -> int:
    """One number that grows whenever a counter does."""
    crossed = record.messages_in + record.messages_out + record.bytes_in + record.bytes_out
    return crossed + record.messages_dropped
