"""One reader for all pages of a process: who listens, who is slow, who comes back, and who comes too late."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from redis import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster.live import MOST_LISTENERS, MOST_WAITING, Full, Listener, LiveSeconds
from proxy.cluster.samples import STREAM, MemorySamples, Samples, position_of
from proxy.cluster.tests.telling import samples_in, tell, until
from proxy.core.samples import Sample
from proxy.core.seconds import NodeSample


@asynccontextmanager
async def reading(samples: Samples) -> AsyncIterator[LiveSeconds]:
    live = LiveSeconds(samples)
    running = asyncio.create_task(live.run(), name="live")
    try:
        yield live
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """Gateways that other tests keep running tell theirs to the one that all share."""
    return own_valkey


@pytest.fixture
async def live(valkey: ValkeyServer) -> AsyncIterator[LiveSeconds]:
    async with AsyncExitStack() as ends:
        samples = await ends.enter_async_context(samples_in(valkey))
        yield await ends.enter_async_context(reading(samples))


@pytest.fixture
def began() -> int:
    """Some minutes ago: what tests tell is of then."""
    return int(time.time()) - 300


async def heard(listener: Listener, count: int) -> list[int]:
    """The ids of the next events."""
    ats: list[int] = []
    async with asyncio.timeout(20):
        while len(ats) < count:
            events = await listener.events(within_seconds=1)
            ats += [int(line[4:]) for line in events.splitlines() if line.startswith(b"id: ")]
    return ats


async def test_a_page_that_comes_back_hears_what_it_missed_and_then_what_comes(
    live: LiveSeconds, valkey: ValkeyServer, began: int
) -> None:
    tell(valkey, range(began, began + 150))
    await live.caught_up(within_seconds=20)
    with live.listening(began + 100) as again, live.listening(None) as new:
        await until(lambda: len(live.since(began)) == 150)
        assert await heard(again, 49) == list(range(began + 101, began + 150))
        tell(valkey, range(began + 150, began + 153))
        both = [await heard(again, 3), await heard(new, 3)]
        assert both == [[began + 150, began + 151, began + 152]] * 2
    assert all(told.total.opens == {"game": 2} for told in live.since(began))


async def test_who_does_not_keep_up_is_left_behind_and_its_neighbour_hears_all(
    live: LiveSeconds, valkey: ValkeyServer, began: int
) -> None:
    await live.caught_up()
    with live.listening(None) as slow, live.listening(None) as quick:
        for first in range(began, began + 2 * MOST_WAITING, 10):
            tell(valkey, range(first, first + 10))
            assert await heard(quick, 10) == list(range(first, first + 10))
        assert (slow.is_left_behind, quick.is_left_behind) == (True, False)
        assert await slow.events(within_seconds=0) == b""
    with live.listening(began + 9) as again:
        assert len(await heard(again, 1)) == 2 * MOST_WAITING - 10


async def test_what_cannot_be_read_is_left_out_and_an_outage_is_lived_through(
    live: LiveSeconds, valkey: ValkeyServer, began: int
) -> None:
    tell(valkey, [began])
    with Redis.from_url(valkey.url) as redis:
        redis.xadd(STREAM, {"of": "a later release"}, id=f"{began * 1000 + 5000}-0")
        redis.xadd(
            STREAM, dict.fromkeys(["node", "name", "state", "sample"], "{"), id=f"{began * 1000 + 6000}-0"
        )
    await live.caught_up(within_seconds=20)
    with live.listening(None) as listener:
        valkey.kill()
        valkey.ensure_running()
        tell(valkey, range(began + 10, began + 12))
        assert await heard(listener, 2) == [began + 10, began + 11]


async def test_so_many_may_listen_and_nobody_once_the_process_ends() -> None:
    async with reading(MemorySamples()) as live, AsyncExitStack() as pages:
        listeners = [pages.enter_context(live.listening(None)) for _ in range(MOST_LISTENERS)]
        assert live.is_full
        with pytest.raises(Full):
            pages.enter_context(live.listening(None))
        waiting = asyncio.create_task(listeners[0].events(within_seconds=60), name="page")
        await asyncio.sleep(0)
        live.end()
        assert await waiting == b""
        assert all(listener.is_left_behind for listener in listeners)
        await pages.aclose()
        with pytest.raises(Full):
            pages.enter_context(live.listening(None))


async def test_nothing_is_read_before_somebody_asks_and_nobody_asks_twice_for_what_was_read(
    live: LiveSeconds, valkey: ValkeyServer, began: int
) -> None:
    tell(valkey, range(began, began + 3))

    def reads() -> int:
        with Redis.from_url(valkey.url) as redis:
            return int(redis.info("commandstats").get("cmdstat_xread", {}).get("calls", 0))

    before = reads()
    await asyncio.sleep(0)
    assert (reads() - before, live.since(0)) == (0, [])
    await live.caught_up(within_seconds=20)
    await until(lambda: [told.total.at for told in live.since(0)] == [began, began + 1, began + 2])
    after = reads()
    for _ in range(30):
        with live.listening(began):
            await live.caught_up()
    assert reads() - after < 10


async def test_one_process_without_redis_hears_itself() -> None:
    samples = MemorySamples()
    at = int(time.time()) - 1
    told = NodeSample(node_id="1", name="", state="running", sample=Sample(at=at, bytes_in=5))
    for _ in range(2):
        samples.tell(told)
    first, second = await samples.read(position_of(at))
    assert first.told is not None
    assert await samples.read(first.position) == [second]
    waiting = asyncio.create_task(samples.read(second.position, wait_seconds=20), name="reader")
    await asyncio.sleep(0)
    samples.tell(told)
    assert len(await waiting) == 1
    async with reading(samples) as live:
        await live.caught_up()
        await until(lambda: bool(live.since(0)))
        assert live.since(0)[0].total.bytes_in == 15


async def test_each_second_comes_with_the_last_ten_as_one_and_what_was_long_ago_alone(
    live: LiveSeconds, valkey: ValkeyServer, began: int
) -> None:
    tell(valkey, range(began, began + 60))
    await live.caught_up(within_seconds=20)
    await until(lambda: len(live.since(began)) == 60)
    tell(valkey, [began + 60])
    await until(lambda: len(live.since(began)) == 61)
    events = [json.loads(told.event.partition(b"data: ")[2]) for told in live.since(began)]
    assert "lately" not in events[0]
    last = events[-1]
    assert (last["seconds"], last["opens"], last["nodes"][0]["seconds"]) == (1, {"game": 2}, 1)
    lately = last["lately"]
    assert (lately["seconds"], lately["opens"]) == (10, {"game": 20})
    assert [node["seconds"] for node in lately["nodes"]] == [10, 10]
    recent = live.lately(began + 60)
    assert recent is not None
    assert (recent.seconds, recent.opens) == (10, {"game": 20})
    assert live.lately(began + 61) is None
