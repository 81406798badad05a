"""A client that does not read, among many that do; on our own server, since no other knows of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from statistics import median, quantiles

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from config.testing.ending import ended
from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from experience.sessions.tests.conftest import Agent, closed, made, until

pytestmark = pytest.mark.long

NEIGHBOURS, MESSAGES = 30, 2000


@pytest.fixture
async def gateway(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[Gateway]:
    gateway = made("serve", tmp_path, valkey, SLOW_CONSUMER_SECONDS="20")
    yield gateway
    await asyncio.to_thread(gateway.close)


async def test_a_client_that_does_not_read_is_closed_at_its_bound_and_its_neighbours_hear_all(
    gateway: Gateway, redis: Redis
) -> None:
    agents = [Agent(redis, gateway) for _ in range(1 + NEIGHBOURS)]
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        slow, *quick = [await stack.enter_async_context(agent.joined()) for agent in agents]
        slow.transport.pause_reading()
        hearing = [asyncio.create_task(_hear(client)) for client in quick]
        for number in range(MESSAGES):
            async with redis.pipeline(transaction=False) as together:
                together.publish(agents[0].down, "x" * 4000)
                for agent in agents[1:]:
                    together.publish(agent.down, str(number))
                await together.execute()
        for heard in hearing:
            assert await heard == [str(number) for number in range(MESSAGES)]
        await until(agents[0].hearers, 0)
        (row,) = await gateway.wait_for_records(f"user_id = 'session:{agents[0].session}' AND closed_at > 0")
        assert (row["close_code"], row["close_reason"]) == (1008, "slow consumer")
        assert "backpressure: half of the outbox is full" in gateway.program.output
        slow.transport.resume_reading()
        assert (await closed(slow)).code in (1008, 1006)  # the frame goes in vain behind what it left unread
    _, metrics = await gateway.get("/metrics")
    assert 'gateway_websocket_slow_consumers_total{route="sessions"} 1.0' in metrics


@pytest.mark.timing
async def test_a_client_that_does_not_read_delays_none_of_its_neighbours(
    gateway: Gateway, redis: Redis
) -> None:
    """Its agent says as much while it still reads. NEIGHBOURS=1000 in the environment: a thousand."""
    count = int(os.environ.get("NEIGHBOURS", "100"))
    slow, *others = [Agent(redis, gateway) for _ in range(1 + count // 50)]
    over = asyncio.Event()
    delays: list[float] = []  # in seconds, of each message to each viewer
    async with asyncio.timeout(90), AsyncExitStack() as stack:
        client = await stack.enter_async_context(slow.joined())
        viewers = await asyncio.gather(*(_let_in_fifty(agent, stack) for agent in others))
        tasks = [asyncio.create_task(_note(viewer, delays)) for fifty in viewers for viewer in fifty]
        flooding = asyncio.create_task(_flood(slow, over))
        tasks.append(asyncio.create_task(_read(client)))
        before = await _delays(others, delays)
        client.transport.pause_reading()
        meanwhile = await _delays(others, delays)
        await until(slow.hearers, 0)  # it was closed
        client.transport.abort()
        over.set()
        await flooding
        await ended(tasks)
    assert median(meanwhile) < 2 * median(before) + 0.005
    assert _p99(meanwhile) < 2 * _p99(before) + 0.025


async def _let_in_fifty(agent: Agent, stack: AsyncExitStack) -> list[ClientConnection]:
    return [await stack.enter_async_context(agent.joined()) for _ in range(50)]


async def _note(viewer: ClientConnection, delays: list[float]) -> None:
    while True:
        said_at = float(await viewer.recv())
        delays.append(time.monotonic() - said_at)


async def _read(viewer: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await viewer.recv()


async def _flood(agent: Agent, over: asyncio.Event) -> None:
    while not over.is_set():
        async with agent.redis.pipeline(transaction=False) as several:
            for _ in range(10):
                several.publish(agent.down, "x" * 4000)
            await several.execute()
        await asyncio.sleep(0.02)


async def _delays(agents: list[Agent], delays: list[float]) -> list[float]:
    """Of a hundred messages or more, every one of which has come to all fifty."""
    delays.clear()
    rounds = max(10, 100 // len(agents))
    for agent in rounds * agents:
        await agent.say(str(time.monotonic()))
        await asyncio.sleep(0.02)
    while len(delays) < rounds * 50 * len(agents):
        await asyncio.sleep(0.01)
    return delays.copy()


def _p99(delays: list[float]) -> float:
    return quantiles(delays, n=100)[98]


async def _hear(client: ClientConnection) -> list[str | bytes]:
    return [await client.recv() for _ in range(MESSAGES)]
