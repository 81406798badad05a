"""What others publish in the Redis that two nodes share, over a bridge by settings."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.testing.ending import ended
from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from config.tests.contract.joined import WOODS, heard, joined, two_nodes

pytestmark = pytest.mark.timeout(120)
CHANNELS = "updates:{id}=user:{id}, world:*:{id}=experience:{id}, news=everyone"


@pytest.fixture
def nodes(tmp_path: Path, own_valkey: ValkeyServer) -> Iterator[tuple[Gateway, Gateway]]:
    with two_nodes(tmp_path, {"REDIS_URL": own_valkey.url, "REDIS_CHANNELS": CHANNELS}) as made:
        yield made


async def test_channels_and_patterns_lead_each_link_of_every_node_to_its_own_once(
    nodes: tuple[Gateway, Gateway], own_valkey: ValkeyServer
) -> None:
    names = ["*", "[a-z]", "a?", "\\", "ann"]
    who = [(nodes[number % 2], "ann", name) for number, name in enumerate(names)]
    async with asyncio.timeout(60), joined(*who) as clients, Redis.from_url(own_valkey.url) as redis:
        for number, name in enumerate(("nobody", *names)):
            await redis.publish(f"world:forest:{name}", json.dumps({"type": "number", "number": number}))
        for number in range(100):
            await redis.publish("updates:ann", json.dumps({"type": "number", "number": number}))
        await redis.publish("updates:bob", '{"type": "for bob"}')
        await redis.publish("news", b"\xff")
        for own, client in enumerate(clients, start=1):
            first, *events, news = await heard(client, 102)
            assert first["number"] == own
            assert [event["number"] for event in events] == list(range(100))
            assert news == {"type": "bridge.message", "bridge": "redis", "source": "news", "base64": "/w=="}
        subscribed = dict(await redis.pubsub_numsub("updates:ann", "updates:bob"))
        assert subscribed == {b"updates:ann": 2, b"updates:bob": 0}
        _, metrics = await nodes[0].get("/metrics")
    assert 'bridge_messages_total{bridge="redis",outcome="wrapped"} 1.0' in metrics
    assert 'bridge_connected{bridge="redis"} 1.0' in metrics


async def publish_forever(redis: Redis) -> None:
    for number in itertools.count():
        with suppress(RedisError):
            await redis.publish("updates:ann", json.dumps({"type": "moved", "number": number}))
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_links_outlive_redis_and_are_told_of_the_gap(
    nodes: tuple[Gateway, Gateway], own_valkey: ValkeyServer, outage: str
) -> None:
    who = [(nodes[0], "ann", WOODS), (nodes[1], "ann", WOODS)]
    async with asyncio.timeout(90), joined(*who) as clients:
        async with Redis.from_url(own_valkey.url, socket_timeout=2) as redis:
            traffic = asyncio.create_task(publish_forever(redis))
            before = [await heard(client, 100) for client in clients]
            await asyncio.to_thread(getattr(own_valkey, outage))
            for node in nodes:
                away = "nothing is heard of it"
                await asyncio.to_thread(node.program.wait_for_output, away, within_seconds=20)
            await asyncio.to_thread(own_valkey.ensure_running)
            for client, already in zip(clients, before, strict=True):
                events = list(already)
                while sum(event["type"] == "moved" for event in events) < 400:
                    events += await heard(client, 1)
                numbers = [event["number"] for event in events if event["type"] == "moved"]
                assert numbers == sorted(set(numbers))
                (gap,) = [at for at in range(1, 400) if numbers[at] != numbers[at - 1] + 1]
                first_after = [event.get("number") for event in events].index(numbers[gap])
                told = [at for at, event in enumerate(events) if event["type"] == "gateway.resync"]
                assert any(gap <= at < first_after for at in told), (told, gap, first_after)
            await ended([traffic])
