"""Background work of a product, shown by a bridge from Redis' own Pub/Sub to the links of a node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.contract.conftest import KINDS

pytestmark = pytest.mark.long

LOBBY = "outside:room:lobby"


@pytest.fixture(params=KINDS)
def bridged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey: ValkeyServer
) -> Iterator[Gateway]:
    product = {"ROUTES": "config.tests.contract.bridge.ROUTES", "REDIS_URL": valkey.url}
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), product) as gateway:
        yield gateway


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as client:
        yield client


async def until_subscribed(redis: Redis, channel: str, *, nodes: int) -> None:
    while (await redis.pubsub_numsub(channel))[0][1] != nodes:
        await asyncio.sleep(0.02)


async def until_heard(client: ClientConnection, redis: Redis, event: str) -> None:
    """Publish the event again and again until the client hears it; what it hears before is passed over."""
    heard = ""
    while heard != event:
        await redis.publish(LOBBY, event)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                heard = str(await client.recv())


async def stay(service: ServerConnection) -> None:
    await service.wait_closed()


async def test_a_bridge_hears_only_what_links_hear_and_survives_its_own_crash(
    bridged: Gateway, redis: Redis
) -> None:
    url = f"ws://127.0.0.1:{bridged.port}/rooms/lobby?token={issue('ann')}"
    async with bridged.serving(stay), asyncio.timeout(60):
        async with bridged.connect(url) as ann, bridged.connect(url) as bob:
            await until_subscribed(redis, LOBBY, nodes=1)
            for number in range(3):
                await redis.publish(LOBBY, json.dumps({"type": "played", "number": number}))
            for client in (ann, bob):
                assert [json.loads(await client.recv())["number"] for _ in range(3)] == [0, 1, 2]

            await redis.publish(LOBBY, "no JSON, at which the bridge crashes")
            await until_heard(ann, redis, '{"type":"again"}')
            await ann.close()
            await until_heard(bob, redis, '{"type":"for bob"}')
        await until_subscribed(redis, LOBBY, nodes=0)
        _, metrics = await bridged.get("/metrics")
    assert 'gateway_websocket_background_crashes_total{work="product:bridge"} 1.0' in metrics
    delivered = metrics.partition('events_total{outcome="delivered",source="local"} ')[2]
    assert float(delivered.partition("\n")[0]) >= 8


async def test_a_bridge_runs_until_the_last_link_has_ended_and_no_longer(
    bridged: Gateway, redis: Redis
) -> None:
    url = f"ws://127.0.0.1:{bridged.port}/rooms/lobby?token={issue('ann')}"
    async with bridged.serving(stay), asyncio.timeout(60), bridged.connect(url) as ann:
        await until_subscribed(redis, LOBBY, nodes=1)
        stopping = asyncio.create_task(asyncio.to_thread(bridged.stop))
        await ann.wait_closed()
        await stopping
        assert (await redis.pubsub_numsub("outside:bridge"))[0][1] == 0
        (row,) = await bridged.wait_for_records("user_id = 'ann'")
    assert row["closed_at"] is not None
    assert "background work did not end in time" not in bridged.program.output
