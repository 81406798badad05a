"""A bridge that has crashed and is run again: what it lost is told, and its gauge is of all that it hears."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import REGISTRY

from config.testing.servers import ValkeyServer
from proxy.bridges.bridge import bridge
from proxy.bridges.redis import RedisBridge, bridge_redis
from proxy.bridges.tests.brokers import Broker, Node
from proxy.core.bridging.channels import BridgedChannel
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.subscriber import Subscriber
from proxy.work import NodeWork

CHANNELS = [BridgedChannel("news:{id}", "user:{id}")]


@pytest.fixture(autouse=True)
def _leads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bridges lead to is known to a whole process, and its checks ask."""
    monkeypatch.setattr("proxy.bridges.bridge._leads", {})


async def crash(work: NodeWork, node: Node) -> None:
    """Run it until it is at its work, and have it fail."""
    running = asyncio.ensure_future(work(node.workplace))
    await node.watched.wait()
    node.fails.set()
    with pytest.raises(ExceptionGroup):
        await running


async def told(work: NodeWork, node: Node) -> list[set[str]]:
    """What it tells links as it is run again."""
    running = asyncio.ensure_future(work(node.workplace))
    async with asyncio.timeout(30):
        while not node.told:
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return node.told


async def test_what_a_crashed_bridge_heard_is_told_to_have_a_gap_and_nothing_else_is() -> None:
    work, first = bridge(Broker()), Node(None, "user:ann", "user:bob")
    await crash(work, first)
    assert first.told == []
    assert await told(work, Node(None, "user:ann", "user:new")) == [{"user:ann"}]


async def test_so_it_is_of_a_bridge_from_redis(valkey: ValkeyServer) -> None:
    subscriber = Subscriber(RedisAddress.parse(valkey.url))
    running = asyncio.ensure_future(subscriber.run())
    work, first = bridge_redis("crashing-redis", CHANNELS), Node(subscriber, "user:ann")
    await crash(work, first)
    assert first.told == []
    assert await told(work, Node(subscriber, "user:ann", "user:new")) == [{"user:ann"}]
    running.cancel()


async def test_a_bridge_is_deaf_as_long_as_one_of_its_channels_is_not_confirmed(valkey: ValkeyServer) -> None:
    subscriber = Subscriber(RedisAddress.parse(valkey.url))
    made: Any = RedisBridge("deaf", CHANNELS, Node(subscriber).workplace, subscriber)
    for hears, listener, is_connected in (
        *((True, "a", 1), (False, "b", 0), (False, "c", 0)),
        *((True, "a", 0), (True, "b", 0), (True, "c", 1)),
    ):
        (made.hears if hears else made.hears_nothing)(listener)
        gauge = REGISTRY.get_sample_value("gateway_websocket_bridge_connected", {"bridge": "deaf"})
        assert gauge == is_connected
