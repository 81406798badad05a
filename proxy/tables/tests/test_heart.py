import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from proxy.core.records import ConnectionRecord
from proxy.models import Connection, Node, Turn
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.heart import NodeHeart, Reaper, _beat, reap
from proxy.tables.record_rows import CONNECTIONS
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.usefixtures("any_database")


@asynccontextmanager
async def beating(executor: DatabaseExecutor, **options: Any) -> AsyncIterator[NodeHeart]:
    """A heart that beats, and its reaper."""
    reaper = Reaper()
    heart = NodeHeart(executor, node_id="me", may_reap=reaper.wake, **options)
    tasks = [asyncio.create_task(work(), name="beating") for work in (heart.run, reaper.run)]
    try:
        yield heart
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_node_registers_beats_and_stops(executor: DatabaseExecutor) -> None:
    draining = False
    heart = NodeHeart(executor, node_id="me", is_draining=lambda: draining)
    assert await heart.beat()
    first = await executor.run(Node.objects.get, pk="me")
    draining = True
    assert not await heart.beat()
    second = await executor.run(Node.objects.get, pk="me")
    await heart.stop()
    stopped = await executor.run(Node.objects.get, pk="me")

    assert (first.host, first.draining, second.draining) == (socket.gethostname(), False, True)
    assert second.heartbeat_at >= first.heartbeat_at
    assert second.started_at == first.started_at
    assert stopped.stopped_at is not None


def test_a_silent_node_is_stopped_and_its_links_closed_as_node_lost_and_no_others() -> None:
    add_node("lost", silent_seconds=16)
    add_node("running", silent_seconds=14)
    add_connection("of lost", node_id="lost")
    add_connection("of running", node_id="running")
    closed = add_connection("closed before", node_id="lost", closed=True)

    assert reap() == (1, 1)

    row = Connection.objects.get(pk="of lost")
    assert (row.closed_by, row.close_code, row.close_reason) == ("node_lost", 1006, "node lost")
    assert row.cause == "node_lost"
    assert row.closed_at is not None
    assert Node.objects.get(pk="lost").stopped_at is not None
    assert Node.objects.get(pk="running").stopped_at is None
    assert Connection.objects.get(pk="of running").closed_at is None
    assert Connection.objects.get(pk="closed before").closed_at == closed.closed_at


@pytest.mark.parametrize(("opened_seconds_ago", "lived_seconds"), [(60, 40), (18, 0)])
def test_a_lost_nodes_link_ended_when_the_node_was_last_heard_of(
    opened_seconds_ago: int, lived_seconds: float
) -> None:
    add_node("lost", silent_seconds=20)
    add_connection("a", node_id="lost")
    Connection.objects.update(opened_at=timezone.now() - timedelta(seconds=opened_seconds_ago))
    reap()
    row = Connection.objects.get()
    assert row.closed_at is not None
    assert (row.closed_at - row.opened_at).total_seconds() == pytest.approx(lived_seconds, abs=1)


def test_links_that_a_stopped_or_unknown_node_left_open_are_closed() -> None:
    add_node("stopped", stopped_at=timezone.now())
    add_connection("a", node_id="stopped")
    add_connection("b", node_id="never registered")

    assert reap() == (0, 2)
    assert reap() == (0, 0)


def test_all_live_rows_are_looked_through_by_one_of_all_processes_now_and_then() -> None:
    assert reap() == (0, 0)
    add_node("stopped", stopped_at=timezone.now())
    add_node("lost", silent_seconds=16)
    add_connection("a", node_id="stopped")
    add_connection("b", node_id="lost")
    assert reap() == (1, 1), "what was lost just now is closed at once"
    assert reap() == (0, 0)
    Turn.objects.update(until=Now())
    assert reap() == (0, 1)


def test_a_reap_that_finds_nothing_reads_no_connection() -> None:
    reap()
    with CaptureQueriesContext(connection) as asked:
        reap()
    assert not [each["sql"] for each in asked if "proxy_connection" in each["sql"]]


def test_a_link_that_its_node_still_writes_is_live_again_after_a_reap() -> None:
    live = ConnectionRecord(id="a", route="game", opened_at=timezone.now())
    CONNECTIONS.write([live], node_id="unregistered")
    assert reap() == (0, 1)
    CONNECTIONS.write([live], node_id="unregistered")

    row = Connection.objects.get()
    assert (row.closed_at, row.closed_by, row.close_code, row.close_reason) == (None, "", None, "")


async def test_a_start_reaps_at_once(executor: DatabaseExecutor, caplog: pytest.LogCaptureFixture) -> None:
    await executor.run(add_node, "lost", silent_seconds=60)
    await executor.run(add_connection, "a", node_id="lost")

    async with beating(executor), asyncio.timeout(10):
        while "1 nodes lost, 1 links closed" not in caplog.text:
            await asyncio.sleep(0.01)


async def test_a_node_taken_for_lost_comes_back_and_has_its_links_noted_again(
    executor: DatabaseExecutor,
) -> None:
    returns: list[int] = []
    heart = NodeHeart(executor, node_id="me", on_returned=lambda: returns.append(1))
    await heart.beat()
    await executor.run(Node.objects.filter(pk="me").update, stopped_at=Now())
    await heart.beat()
    await heart.beat()

    assert len(returns) == 2  # the start, and the return
    assert (await executor.run(Node.objects.get, pk="me")).stopped_at is None


async def test_after_an_outage_others_get_time_to_beat_before_they_are_lost(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    returned = asyncio.Event()
    reaps = list[int]()
    heart = NodeHeart(
        executor,
        node_id="me",
        on_returned=returned.set,
        may_reap=lambda: reaps.append(1),
        beat_seconds=0.01,
    )
    await heart.beat()
    returned.clear()
    beat_for_real, failures = _beat, list[int]()

    def beat(node: Node) -> bool:
        if len(failures) < 3:
            failures.append(1)
            raise OperationalError("away")
        return beat_for_real(node)

    monkeypatch.setattr("proxy.tables.heart._beat", beat)
    async with asyncio.timeout(30):
        task = asyncio.create_task(heart.run(), name="heart")
        await returned.wait()
        task.cancel()
        await asyncio.wait([task])

    assert reaps == [1]  # before the outage
    assert [line.message for line in caplog.records if line.message.startswith("node: ")] == [
        "node: cannot beat: OperationalError('away')",
        "node: beating again",
    ]


async def test_no_heartbeat_waits_for_a_reap_however_long_that_takes_and_only_one_is_under_way(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat_for_real, beats, reaps, over = _beat, list[int](), list[int](), threading.Event()
    fourth = threading.Event()

    def beat(node: Node) -> bool:
        registered = beat_for_real(node)
        beats.append(1)
        if len(beats) == 4:
            fourth.set()
        return registered

    def reap_until_told(**_: Any) -> tuple[int, int]:
        reaps.append(1)
        over.wait(30)
        return 0, 0

    monkeypatch.setattr("proxy.tables.heart._beat", beat)
    monkeypatch.setattr("proxy.tables.heart.reap", reap_until_told)
    async with beating(executor, beat_seconds=0.05):
        assert await asyncio.to_thread(fourth.wait, 9)
        assert len(reaps) == 1
        over.set()


async def test_a_table_of_connections_that_is_locked_is_no_database_that_is_away(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(**_: Any) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr("proxy.tables.heart.reap", locked)
    reaper = Reaper()
    heart = NodeHeart(executor, node_id="me", may_reap=reaper.wake)
    for _ in range(2):
        await heart.beat()
        assert await reaper.reap() == (0, 0)
    assert heart.beating
    assert caplog.text.count("cannot close what lost nodes left open") == 1


async def test_a_beat_that_is_overdue_is_no_beat(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = NodeHeart(executor, node_id="me", beat_seconds=0.01)
    assert not heart.has_beaten
    await heart.beat()
    assert heart.beating
    monkeypatch.setattr("proxy.tables.heart.OVERDUE_SECONDS", -0.01)
    assert not heart.beating
    assert heart.has_beaten


async def test_a_node_that_its_row_tells_to_drain_does_so_as_it_beats_and_once(
    executor: DatabaseExecutor,
) -> None:
    told: list[bool] = []
    heart = NodeHeart(
        executor,
        node_id="me",
        is_draining=lambda: bool(told),
        on_told_to_drain=lambda: told.append(True),
    )
    await heart.beat()
    assert not told
    await executor.run(Node.objects.update, told_to_drain_at=Now())
    for _ in range(2):
        await heart.beat()
    assert told == [True]
    assert await executor.run(lambda: Node.objects.get().draining)
