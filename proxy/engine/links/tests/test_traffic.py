"""What crosses links is counted, whatever becomes of their record."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from proxy import metrics
from proxy.core.records import ConnectionRecord
from proxy.engine.links import traffic
from proxy.engine.links.link import Link
from proxy.tests.counting import counted


@pytest.fixture
def route() -> str:
    """A name of the test's own, since metrics live as long as the process, which may play it again."""
    return f"traffic-{uuid.uuid4().hex}"


def link(route: str) -> Link:
    return Link(ConnectionRecord(id="c1", route=route, opened_at=datetime.now(UTC)), topics=())


async def test_what_crosses_live_links_is_counted_though_nobody_records_it(
    monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    monkeypatch.setattr(traffic, "COUNT_SECONDS", 0.01)
    links = [link(route) for _ in range(300)]
    for one in links:
        one.counters.messages_in, one.counters.bytes_in = 2, 50

    counting = asyncio.create_task(traffic.count_forever(lambda: links), name="traffic")
    async with asyncio.timeout(30):
        while counted(metrics.MESSAGES_TOTAL, route, "in") < 600:
            await asyncio.sleep(0.01)
    links[0].counters.messages_dropped = 3
    async with asyncio.timeout(30):
        while counted(metrics.MESSAGES_DROPPED_TOTAL, route, "rate") < 3:
            await asyncio.sleep(0.01)
    counting.cancel()
    assert counted(metrics.MESSAGES_TOTAL, route, "in") == 600
    assert counted(metrics.BYTES_TOTAL, route, "in") == 300 * 50


async def test_what_crossed_before_the_end_is_counted_once(route: str) -> None:
    one = link(route)
    one.counters.messages_out, one.counters.bytes_out = 1, 7
    traffic.count_traffic(one)
    one.counters.messages_out, one.counters.bytes_out = 3, 17
    traffic.count_traffic(one)
    traffic.count_traffic(one)
    assert counted(metrics.MESSAGES_TOTAL, route, "out") == 3
    assert counted(metrics.BYTES_TOTAL, route, "out") == 17
    (sizes,) = metrics.MESSAGE_SIZE_BYTES.labels(route, "out").collect()
    told = {sample.name.rpartition("_")[2]: sample.value for sample in sizes.samples}
    assert (told["count"], told["sum"]) == (2, 7 + 5), "the mean size of each look's messages"
