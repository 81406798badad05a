"""The hub on the real channel layer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.tests.hearing import hear_events
from proxy.core.events import Event
from proxy.core.topics import group_name
from proxy.engine.hub import Hub

TOPICS = ["user:1", "experience:e", "connection:c", "everyone"]


class Deaf:
    gathers = False

    def inject(self, *events: Event) -> None:
        raise AssertionError("nothing is published")


async def cancelled_while_leaving(layer: Any, *, turns: int) -> bool:
    """Join and leave, let the loop turn a few times, cancel; whether the hub ended."""
    hub = Hub(layer, own_topic="node:n")
    hear_events(hub)
    running = asyncio.create_task(hub.run(), name="hub")
    while not hub.connected:
        await asyncio.sleep(0)
    link = Deaf()
    await hub.join(link, TOPICS)
    hub.leave(link, TOPICS)
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    _, late = await asyncio.wait([running], timeout=2)
    return not late


@pytest.mark.parametrize("turns", range(12))
async def test_a_hub_ends_when_it_is_cancelled_in_the_middle_of_leaving(
    valkey: ValkeyServer, turns: int
) -> None:
    """A cancellation in the turn in which a write to Redis ends is one that redis-py does not pass on."""
    layer = RedisPubSubChannelLayer(hosts=[{**settings.REDIS_HOST, "address": valkey.url}])
    try:
        assert await cancelled_while_leaving(layer, turns=turns)
    finally:
        await layer.flush()


async def test_a_connection_that_is_lost_for_a_moment_is_a_gap(valkey: ValkeyServer) -> None:
    """redis-py connects again by itself, sooner than any silence is noticed."""
    layer = GatewayChannelLayer(hosts=[{**settings.REDIS_HOST, "address": valkey.url}], prefix="gateway")
    hub, gap, heard = Hub(layer, own_topic="node:n"), asyncio.Event(), asyncio.Event()
    hub.receive("word", lambda *_: heard.set())
    hub.on_gap(gap.set)
    running = asyncio.create_task(hub.run(), name="hub")
    async with asyncio.timeout(20), Redis.from_url(valkey.url) as redis:
        await hub.until_connected()
        await hub.join(Deaf(), TOPICS)
        assert not gap.is_set()
        await redis.client_kill_filter(_type="pubsub")
        await gap.wait()
        await layer.group_send(group_name("user:1"), {"type": "word", "topic": "user:1"})
        await heard.wait()
    running.cancel()
    await asyncio.wait([running])
    await layer.flush()
