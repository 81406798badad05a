"""A store of histories, in memory or in a real Redis, for tests that both must pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from config.testing.servers import ValkeyServer
from proxy.cluster import signals
from proxy.cluster.histories import Asked
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.questions import Question
from proxy.cluster.tests.hearing import hear_events, until
from proxy.core.history import Found, History, Position
from proxy.core.topics import group_name, node_topic
from proxy.engine.hub import Hub

LONG = History(events=100, seconds=600)
PLENTY = 1 << 20
in_redis = pytest.mark.parametrize("make_store", ["redis"], indirect=True)


class Store:
    """A layer, the hub that hears it, and events by number."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.hub = layer, Hub(layer, own_topic=node_topic("n"), echo_seconds=0.2)
        hear_events(self.hub)

    async def publish(
        self, topic: str, *numbers: int, history: History | None = LONG, once: str = "", text: str = ""
    ) -> None:
        questions = []
        for number in numbers:
            event = json.dumps({"number": number, "text": text})
            signal = {**signals.event(event), "topic": topic}
            questions.append(Question(group=group_name(topic), signal=signal, once=once, history=history))
        await self.layer.store.ask(questions)

    async def find(
        self, since: Position | None, *topics: str, history: History = LONG, most: int = PLENTY
    ) -> Found:
        asked = [Asked(group_name(topic), history) for topic in topics]
        found: Found = await self.layer.recover(asked, since=since, most_bytes=most)
        return found

    async def join(self, link: Any, *topics: str) -> None:
        """Returns when Redis has taken the subscriptions: what is published then is heard."""
        await self.hub.join(link, topics)
        await self.now()

    async def now(self) -> Position:
        return (await self.find(None)).now

    def numbers(self, found: Found) -> list[int]:
        texts = (self.layer.deserialize(entry.message)["text"] for entry in found.entries())
        return [json.loads(text)["number"] for text in texts]


@pytest.fixture(autouse=True)
def _nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who publishes here is answered by none."""
    monkeypatch.setattr("proxy.cluster.questions.ANSWER_SECONDS", 0.001)
    monkeypatch.setattr("proxy.cluster.memory_store.ANSWER_SECONDS", 0.001)


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """One node at a time ships: no other installation's may be here."""
    return own_valkey


@pytest.fixture(params=["memory", "redis"])
def make_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    """A store of which nothing runs yet."""
    if request.param == "memory":
        return lambda: Store(MemoryChannelLayer(capacity=10_000))
    url = request.getfixturevalue("valkey").url
    return lambda: Store(GatewayChannelLayer(hosts=[{"address": url}], prefix="gateway"))


@pytest.fixture
async def store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    store = make_store()
    running = asyncio.create_task(store.hub.run())
    await until(lambda: store.hub.connected)
    yield store
    running.cancel()
    await asyncio.wait([running])
