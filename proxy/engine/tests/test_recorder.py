import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy import metrics
from proxy.core.closes import NORMAL, ClosedBy
from proxy.core.records import ConnectionRecord
from proxy.engine.recorder import Recorder
from proxy.tests.counting import counted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Table:
    """A database in memory, that can be told to be away, to fail, or to be slow."""

    def __init__(self) -> None:
        self.rows: dict[str, ConnectionRecord] = {}
        self.batches: list[int] = []
        self.failures_left = 0
        self.failure: BaseException = ConnectionError("database away")
        self.changed = asyncio.Condition()
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()

    async def write(self, records: Sequence[ConnectionRecord]) -> None:
        self.entered.set()
        await self.open.wait()
        async with self.changed:
            self.changed.notify_all()
            if self.failures_left:
                self.failures_left -= 1
                raise self.failure
            self.batches.append(len(records))
            self.rows.update({record.id: record for record in records})

    async def wait_until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: bool(holds()))


def record(connection_id: str = "a", **values: Any) -> ConnectionRecord:
    return ConnectionRecord(id=connection_id, route="game", opened_at=NOON, **values)


def closed(connection_id: str = "a") -> ConnectionRecord:
    snapshot = record(connection_id)
    snapshot.end(NORMAL, by=ClosedBy.CLIENT, at=NOON)
    return snapshot


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(recorder.run(), name="recorder")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)


async def test_a_thousand_opens_are_written_in_tens_of_batches() -> None:
    table = Table()
    recorder = Recorder(table.write, flush_seconds=0.01)
    async with running(recorder):
        for number in range(1000):
            recorder.note(record(str(number)))
        await table.wait_until(lambda: len(table.rows) == 1000)

    assert len(table.batches) == 10
    assert recorder.queue_length == 0


@pytest.mark.parametrize("failure", [ConnectionError("database away"), asyncio.CancelledError()])
async def test_a_failing_write_is_tried_again_and_nothing_is_lost(
    failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    table = Table()
    table.failures_left, table.failure = 3, failure
    recorder = Recorder(table.write, flush_seconds=0.01)
    recorder.note(record("a"))
    recorder.note(closed("b"))
    async with running(recorder):
        await table.wait_until(lambda: set(table.rows) == {"a", "b"})

    assert recorder.dropped == 0
    assert [line.levelname for line in caplog.records if "record: cannot write" in line.message] == [
        "WARNING"
    ]


async def test_a_link_that_closes_during_a_write_is_written_as_closed_afterwards() -> None:
    table = Table()
    recorder = Recorder(table.write, flush_seconds=0.01)
    table.open.clear()
    async with running(recorder):
        recorder.note(record("a"))
        await asyncio.wait_for(table.entered.wait(), 5)
        recorder.note(closed("a"))
        table.open.set()
        await table.wait_until(lambda: "a" in table.rows and table.rows["a"].closed_at)


async def test_a_slow_write_holds_up_no_note_and_is_given_up_at_its_deadline() -> None:
    table = Table()
    table.open.clear()
    recorder = Recorder(table.write, write_timeout_seconds=0.01)
    recorder.note(record("a"))

    with pytest.raises(TimeoutError):
        await recorder.flush()
    assert recorder.queue_length == 1

    table.open.set()
    await recorder.flush()
    assert set(table.rows) == {"a"}


async def test_a_cancelled_write_keeps_its_batch_for_the_close() -> None:
    table = Table()
    table.open.clear()
    recorder = Recorder(table.write, flush_seconds=0.01)
    recorder.note(record("a"))
    async with running(recorder) as task:
        await asyncio.wait_for(table.entered.wait(), 5)
        task.cancel()
    assert recorder.queue_length == 1

    table.open.set()
    assert await recorder.close(5) == 0
    assert set(table.rows) == {"a"}


async def test_closing_without_a_database_ends_at_the_deadline_and_counts_what_is_lost() -> None:
    table = Table()
    table.failures_left = 1000
    recorder = Recorder(table.write)
    recorder.note(closed("a"))
    recorder.note(closed("b"))
    counted_before = counted(metrics.RECORDS_DROPPED_TOTAL)

    async with asyncio.timeout(5):
        assert await recorder.close(0.05) == 2
    assert recorder.dropped == counted(metrics.RECORDS_DROPPED_TOTAL) - counted_before == 2


async def test_when_too_many_wait_live_links_are_dropped_and_noted_again_by_progress() -> None:
    table = Table()
    links = [record("a"), record("b")]
    counted_before = counted(metrics.RECORDS_DROPPED_TOTAL)
    recorder = Recorder(table.write, progress=lambda: links, max_pending=2)
    for link in links:
        recorder.note(link)
    recorder.note(closed("c"))
    assert counted(metrics.RECORDS_DROPPED_TOTAL) - counted_before == 1
    assert (recorder.queue_length, recorder.dropped) == (2, 1)

    await recorder.flush()
    assert set(table.rows) == {"b", "c"}
    await recorder.note_progress()
    await recorder.flush()
    assert set(table.rows) == {"a", "b", "c"}


async def test_progress_notes_only_links_whose_counters_moved() -> None:
    table = Table()
    busy, idle = record("busy"), record("idle")
    recorder = Recorder(table.write, progress=lambda: [busy, idle])
    for link in (busy, idle):
        recorder.note(link)
    await recorder.flush()
    busy.messages_in, busy.bytes_in = 1, 20
    await recorder.note_progress()

    assert recorder.queue_length == 1
    await recorder.flush()
    assert table.rows["busy"].bytes_in == 20


@pytest.mark.parametrize(
    "moved",
    [
        {"messages_in": 1, "bytes_in": 1},
        {"messages_out": 1, "bytes_out": 1},
        {"messages_in": 1},
        {"messages_out": 1},
        {"messages_in": 1, "messages_dropped": 1},
        {"messages_dropped": 1},
    ],
    ids=str,
)
async def test_whichever_counter_moves_a_link_is_noted(moved: dict[str, int]) -> None:
    link = record("a")
    recorder = Recorder(Table().write, progress=lambda: [link])
    recorder.note(link)
    await recorder.flush()
    for name, count in moved.items():
        setattr(link, name, count)
    await recorder.note_progress()
    assert recorder.queue_length == 1


async def test_progress_does_not_reopen_a_link_that_closed_while_it_was_walked() -> None:
    table = Table()
    stale = record("a", messages_in=3)
    recorder = Recorder(table.write, progress=lambda: [stale])
    recorder.note(record("a"))
    recorder.note(closed("a"))
    await recorder.flush()
    await recorder.note_progress()
    await recorder.flush()

    assert table.rows["a"].closed_at == NOON


async def test_all_live_links_are_noted_again_when_asked_for() -> None:
    table = Table()
    links = [record("a"), record("b")]
    recorder = Recorder(table.write, progress=lambda: links)
    for link in links:
        recorder.note(link)
    await recorder.flush()
    recorder.note_all()
    await recorder.note_progress()

    assert recorder.queue_length == 2


@pytest.mark.parametrize("count", [300, 10_000])
async def test_progress_over_many_links_yields_to_the_loop(count: int) -> None:
    table = Table()
    links = [record(str(number)) for number in range(count)]
    recorder = Recorder(table.write, progress=lambda: links)
    for link in links:
        recorder.note(link)
    recorder.note_all()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns(), name="count")
    await recorder.note_progress(over_seconds=0.05)
    counting.cancel()
    assert recorder.queue_length == count
    assert turns >= count // 200 - 1


async def test_counters_of_live_links_reach_the_table_while_the_recorder_runs() -> None:
    table = Table()
    link = record("a")
    recorder = Recorder(table.write, progress=lambda: [link], flush_seconds=0.01, progress_seconds=0.02)
    async with running(recorder):
        recorder.note(link)
        await table.wait_until(lambda: "a" in table.rows)
        link.messages_out, link.bytes_out = 4, 400
        await table.wait_until(lambda: table.rows["a"].bytes_out == 400)
