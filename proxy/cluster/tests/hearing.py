"""A hub on Channels' own layer in memory, that fails at any call, and links that say what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from channels.layers import InMemoryChannelLayer

from proxy.cluster import signals
from proxy.core.events import Event
from proxy.core.topics import group_name
from proxy.engine.hub import Hub

# A machine under load keeps the loop waiting for seconds.
DEADLINE_SECONDS = 30


class FailingLayer(InMemoryChannelLayer):  # type: ignore[misc]
    """A layer whose calls fail, `failing` by name, and that remembers its calls in order."""

    def __init__(self) -> None:
        super().__init__(capacity=1000)
        self.failing: set[str] = set()
        self.calls: list[tuple[str, str]] = []

    def _call(self, name: str, group: str = "") -> None:
        self.calls.append((name, group))
        if name in self.failing:
            raise ConnectionError(name)

    async def new_channel(self, prefix: str = "specific.") -> str:
        self._call("new_channel")
        return str(await super().new_channel(prefix))

    async def receive(self, channel: str) -> Any:
        self._call("receive")
        return await super().receive(channel)

    async def group_add(self, group: str, channel: str) -> None:
        self._call("group_add", group)
        await super().group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        self._call("group_discard", group)
        await super().group_discard(group, channel)

    async def group_send(self, group: str, message: Any) -> None:
        self._call("group_send", group)
        await super().group_send(group, message)

    async def flush(self) -> None:
        self._call("flush")
        await super().flush()


class SlowLayer(FailingLayer):
    """A layer that gives no channel before it `may_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = asyncio.Event()

    async def new_channel(self, prefix: str = "specific.") -> str:
        channel = await super().new_channel(prefix)
        await self.may_go.wait()
        return channel


class Ear:
    """A link that says what it hears."""

    gathers = True

    def __init__(self, name: str, heard: Heard) -> None:
        self._name, self._heard = name, heard

    def inject(self, *events: Event) -> None:
        for event in events:
            self._heard.messages.append((self._name, event.text))
            if event.text == "raise":
                raise RuntimeError("a link must not")


class Heard:
    """What each link heard, and how often a gap was told."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.gaps = 0
        self._ears: dict[str, Ear] = {}

    def ear(self, name: str) -> Ear:
        """The link of that name."""
        return self._ears.setdefault(name, Ear(name, self))

    def gap(self) -> None:
        self.gaps += 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


def hear_events(hub: Hub) -> None:
    """Have the hub bring events to the links of their topics, as a node has it do."""
    hub.receive(signals.EVENT, lambda signal, links: hub.give(signals.event_of(signal), links))


@asynccontextmanager
async def hearing(layer: FailingLayer, heard: Heard, **options: Any) -> AsyncIterator[Hub]:
    hub = Hub(layer, own_topic="node:n", **options)
    hear_events(hub)
    hub.on_gap(heard.gap)
    before = asyncio.all_tasks()
    running = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE_SECONDS)
        assert asyncio.all_tasks() == before


async def publish(layer: FailingLayer, topic: str, text: str) -> None:
    message = {"type": "gateway.event", "topic": topic, "text": text}
    await layer.group_send(group_name(topic), message)
