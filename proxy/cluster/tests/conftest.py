"""A layer in memory, who hears, and nodes that answer on layers in memory or in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from proxy.cluster import asking
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.tests.answering import Node, StartNode
from proxy.cluster.tests.hearing import FailingLayer, Heard, until


@pytest.fixture
def layer() -> FailingLayer:
    return FailingLayer()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr("proxy.engine.hub._RETRY_SECONDS", 0.01)
    return Heard()


@pytest.fixture(params=["memory", "redis"])
def make_layer(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes the channel layers of processes that share a Redis; without, there is one process."""
    if request.param == "memory":
        layer = MemoryChannelLayer(capacity=10_000)
        return lambda: layer
    url = request.getfixturevalue("valkey").url
    return lambda: GatewayChannelLayer(hosts=[{"address": url}], prefix="gateway")


@pytest.fixture
async def start_node(make_layer: Callable[[], Any]) -> AsyncIterator[StartNode]:
    async with AsyncExitStack() as stack:

        async def start(name: str, layer: Any = None, **options: Any) -> Node:
            node = Node(layer or make_layer(), name, **options)
            running = asyncio.ensure_future(node.run())

            async def end() -> None:
                running.cancel()
                await asyncio.wait([running])

            stack.push_async_callback(end)
            await until(lambda: node.hub.connected)
            return node

        yield start


@pytest.fixture
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers hundreds of questions has the time for it, however busy the machine."""
    monkeypatch.setattr("proxy.cluster.questions.ANSWER_SECONDS", 4.0)
    monkeypatch.setattr("proxy.cluster.lines.SEND_SECONDS", 20.0)  # and who asks them, too


@pytest.fixture
def publishing_here(make_layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process publishes over a layer of its own."""
    layer = make_layer()
    monkeypatch.setattr(asking, "get_channel_layer", lambda: layer)
