"""Each minute is one row, whoever writes it and however many nodes there are; charts go on where rows end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest

from config.testing.servers import ValkeyServer
from proxy.cluster.charts import Charts
from proxy.cluster.live import LiveSeconds
from proxy.cluster.minutes import TURN, MinuteWriter
from proxy.cluster.samples import RedisSamples
from proxy.cluster.tests.telling import samples_in, tell
from proxy.core.samples import Sample
from proxy.models import Minute
from proxy.tables import minutes, turns
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """Gateways that other tests keep running tell theirs to the one that all share."""
    return own_valkey


@pytest.fixture
async def samples(valkey: ValkeyServer) -> AsyncIterator[RedisSamples]:
    async with samples_in(valkey) as samples:
        yield samples


@pytest.fixture
def began() -> int:
    """When a minute began, some minutes ago."""
    return int(time.time()) // 60 * 60 - 300


def written() -> list[Sample]:
    return [Sample.decoded(row.sample) for row in Minute.objects.order_by("at")]


async def test_one_of_the_nodes_writes_each_minute_once_and_makes_up_for_those_that_nobody_wrote(
    samples: RedisSamples, executor: DatabaseExecutor, valkey: ValkeyServer, began: int
) -> None:
    tell(valkey, range(began, began + 150))
    first, second = (MinuteWriter(samples, executor, node_id=node) for node in "12")
    await first.look()
    rows = await executor.run(written)
    assert [(row.at, row.seconds, row.opens, row.links) for row in rows] == [
        (began, 60, {"game": 120}, {"game": 2 * ((began + 59) % 100)}),
        (began + 60, 60, {"game": 120}, {"game": 2 * ((began + 119) % 100)}),
        (began + 120, 30, {"game": 60}, {"game": 2 * ((began + 149) % 100)}),
    ]
    tell(valkey, range(began + 180, began + 240))
    await second.look()  # it is not its turn
    assert len(await executor.run(written)) == 3
    await executor.run(turns.give_up, TURN, "1")  # as if its time were over
    await second.look()
    assert [row.at for row in await executor.run(written)] == [began, began + 60, began + 120, began + 180]


async def test_rows_are_written_over_and_a_month_of_them_is_kept(executor: DatabaseExecutor) -> None:
    month, at = int(timedelta(days=30).total_seconds()), 1_800_000_000
    await executor.run(minutes.write, [Sample(at=at - month - 60), Sample(at=at - month, bytes_in=1)])
    await executor.run(minutes.write, [Sample(at=at + 3, bytes_in=2)])
    await executor.run(minutes.write, [Sample(at=at, bytes_in=3)])
    assert [row.bytes_in for row in await executor.run(written)] == [1, 3]
    assert await executor.run(minutes.newest) == at
    await executor.run(minutes.write, [])


async def test_a_chart_goes_on_where_the_rows_end(
    samples: RedisSamples, executor: DatabaseExecutor, valkey: ValkeyServer, began: int
) -> None:
    hour = began - 3_000
    await executor.run(minutes.write, [Sample(at=hour + 60 * each, opens={"game": 7}) for each in range(51)])
    tell(valkey, range(began, began + 180), opens=2)  # the first minute is a row already
    live = LiveSeconds(samples)
    running = asyncio.create_task(live.run(), name="live")
    await live.caught_up(within_seconds=20)
    series = await Charts(live).series("1h")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    opens = dict(zip(series["at"], series["opens"], strict=True))
    assert [opens[began + 60 * each] for each in (-1, 0, 1, 2, 3)] == [7, 7, 240, 240, None]
