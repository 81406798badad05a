"""Keeps the record of links off the hot path: notes are taken at once, written in batches by one task.

The database being slow or away never touches a link. What waits is coalesced (one snapshot a link), bounded
(core/pending.py says what goes first), retried with backoff, and what is dropped is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from proxy import metrics
from proxy.core.pending import PendingRecords
from proxy.core.records import ConnectionRecord
from proxy.engine.batch_writer import BatchWriter, Write

Progress = Callable[[], Iterable[ConnectionRecord]]

_NEVER_NOTED = -1
_PROGRESS_CHUNK = 200


class Recorder(BatchWriter[ConnectionRecord]):
    """Writes snapshots of links through `write`, which must write them all or raise.

    Batches are written one after another and in order, so that an older snapshot never replaces a newer one.

    `progress` yields the record of every live link, counters up to date; it is walked in chunks over
    `progress_seconds`, so it must walk a copy of a registry that changes meanwhile. Only links whose counters
    moved are noted, and only those that were noted when they opened. `options` are the BatchWriter's.
    """

    def __init__(
        self,
        write: Write[ConnectionRecord],
        *,
        progress: Progress = tuple,
        max_pending: int = 50_000,
        progress_seconds: float = 5.0,
        **options: Any,
    ) -> None:
        self._snapshots = PendingRecords(most=max_pending)
        super().__init__(self._snapshots, write, name="record", **options)
        self._progress = progress
        self._noted: dict[str, int] = {}
        self._progress_seconds = progress_seconds

    def note(self, record: ConnectionRecord) -> None:
        """Take a snapshot of a link that opened, changed or closed. Synchronous, O(1), never fails."""
        if record.closed_at is None:
            self._noted[record.id] = _traffic(record)
        else:
            self._noted.pop(record.id, None)
        dropped_before = self._snapshots.dropped
        dropped_id = self._snapshots.note(record)
        metrics.RECORDS_DROPPED_TOTAL.inc(self._snapshots.dropped - dropped_before)
        if dropped_id is not None:
            self._noted[dropped_id] = _NEVER_NOTED

    def note_all(self) -> None:
        """Have every live link noted again by the next progress, as after others closed their records."""
        self._noted = dict.fromkeys(self._noted, _NEVER_NOTED)

    async def run(self) -> None:
        """Write and note progress until cancelled; what is pending then stays pending, for `close`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run(), name="recorder:flush")
            tasks.create_task(self._progress_forever(), name="recorder:progress")

    async def note_progress(self, *, over_seconds: float = 0.0) -> None:
        """Note every live link whose counters moved, in chunks spread over `over_seconds`."""
        pause_seconds = over_seconds / (1 + len(self._noted) // _PROGRESS_CHUNK)
        for position, record in enumerate(self._progress(), 1):
            noted = self._noted.get(record.id)
            if noted is not None and record.closed_at is None and noted != _traffic(record):
                self.note(record)
            if position % _PROGRESS_CHUNK == 0:
                await asyncio.sleep(pause_seconds)

    async def _progress_forever(self) -> NoReturn:
        while True:
            started = asyncio.get_running_loop().time()
            await self.note_progress(over_seconds=self._progress_seconds)
            took_seconds = asyncio.get_running_loop().time() - started
            await asyncio.sleep(max(0.0, self._progress_seconds - took_seconds))


def _traffic(record: ConnectionRecord) -> int:
    """One number that grows whenever a counter does."""
    crossed = record.messages_in + record.messages_out + record.bytes_in + record.bytes_out
    return crossed + record.messages_dropped
