"""The hub, on Channels' own layer in memory: who hears what, and a layer that fails at any call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from proxy.core.topics import group_name
from proxy.engine.hub import ECHO, Hub

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


class Heard:
    """What each link heard, and how often a gap was told."""

    def __init__(self) -> None:
        self.messages: list[tuple[Any, Any]] = []
        self.gaps = 0

    def receive(self, message: Mapping[str, Any], links: Iterable[Any]) -> None:
        self.messages.extend((link, message["text"]) for link in links)
        if message["text"] == "raise":
            raise RuntimeError("a receiver must not")

    def gap(self) -> None:
        self.gaps += 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def hearing(layer: FailingLayer, heard: Heard, **options: Any) -> AsyncIterator[Hub]:
    hub = Hub(
        layer,
        own_topic="node:n",
        group_name=group_name,
        receivers={"gateway.event": heard.receive},
        on_gap=heard.gap,
        **options,
    )
    before = asyncio.all_tasks()
    running = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=DEADLINE_SECONDS)
        assert asyncio.all_tasks() == before


@pytest.fixture
def layer() -> FailingLayer:
    return FailingLayer()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr("proxy.engine.hub._RETRY_SECONDS", 0.01)
    return Heard()


async def publish(layer: FailingLayer, topic: str, text: str) -> None:
    message = {"type": "gateway.event", "topic": topic, "text": text}
    await layer.group_send(group_name(topic), message)


async def test_one_and_many_links_of_a_topic_hear_it_and_those_that_left_do_not(
    layer: FailingLayer, heard: Heard
) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        for link, topics in (("a", ["user:1", "everyone"]), ("b", ["user:1"]), ("c", ["user:1", "user:2"])):
            await hub.join(link, topics)
        assert hub.topics == 3
        await publish(layer, "user:1", "three")
        await until(lambda: len(heard.messages) == 3)
        hub.leave("a", ["user:1", "everyone"])
        hub.leave("b", ["user:1"])
        await publish(layer, "user:1", "one")
        await publish(layer, "user:2", "other")
        await until(lambda: len(heard.messages) == 5)
        hub.leave("c", ["user:1", "user:2"])
        hub.leave("c", ["user:1", "user:2"])
        assert hub.topics == 0
    assert {link for link, _ in heard.messages[:3]} == {"a", "b", "c"}
    assert heard.messages[3:] == [("c", "one"), ("c", "other")]


async def test_a_group_is_added_with_its_first_topic_and_given_back_with_its_last(
    layer: FailingLayer, heard: Heard
) -> None:
    first = "connection:0"
    group = group_name(first)
    second = next(t for n in range(1, 9999) if group_name(t := f"connection:{n}") == group)
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join("a", [first])
        await hub.join("b", [second])
        await publish(layer, second, "for b only")
        await until(lambda: bool(heard.messages))
        assert heard.messages == [("b", "for b only")]
        hub.leave("a", [first])
        await publish(layer, second, "still")
        await until(lambda: len(heard.messages) == 2)
        assert ("group_discard", group) not in layer.calls
        hub.leave("b", [second])
        await until(lambda: ("group_discard", group) in layer.calls)
    assert layer.calls.count(("group_add", group)) == 1


async def test_unknown_messages_are_counted_and_nothing_is_called(layer: FailingLayer, heard: Heard) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join("a", ["everyone"])
        for message in ({"type": "run"}, {"type": 1}, {"text": "x"}, {"type": "gateway.event", "topic": 1}):
            await layer.group_send("gateway.everyone", message)
        await until(lambda: hub.unknown_messages == 4)
    assert heard.messages == []


async def test_a_receiver_that_raises_costs_only_its_message(layer: FailingLayer, heard: Heard) -> None:
    async with hearing(layer, heard) as hub:
        await until(lambda: hub.connected)
        await hub.join("a", ["everyone"])
        await publish(layer, "everyone", "raise")
        await publish(layer, "everyone", "next")
        await until(lambda: len(heard.messages) == 2)
        assert hub.connected
    assert heard.gaps == 0


@pytest.mark.parametrize("call", ["new_channel", "receive", "group_add", "group_send"])
async def test_whatever_call_fails_first_joins_return_and_are_heard_once_it_works(
    layer: FailingLayer, heard: Heard, call: str
) -> None:
    layer.failing = {call}
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        await hub.join("a", ["user:1"])
        await until(lambda: layer.calls.count(("flush", "")) > 1)
        layer.failing.clear()
        await until(lambda: hub.connected)
        await hub.join("a", ["user:1"])
        await publish(layer, "user:1", "heard")
        await until(lambda: ("a", "heard") in heard.messages)


@pytest.mark.parametrize("call", ["group_add", "group_discard"])
async def test_a_layer_that_fails_later_tells_one_gap_and_all_groups_are_added_again(
    layer: FailingLayer, heard: Heard, call: str
) -> None:
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        await until(lambda: hub.connected)
        await hub.join("a", ["user:1"])
        assert heard.gaps == 0
        layer.failing = {call, "flush"}
        await hub.join("b", ["user:2"])
        hub.leave("b", ["user:2"])
        await until(lambda: ("flush", "") in layer.calls)
        layer.failing.clear()
        await until(lambda: hub.connected and heard.gaps == 1)
        await hub.join("c", ["user:3"])
        await publish(layer, "user:1", "again")
        await until(lambda: ("a", "again") in heard.messages)
    assert heard.gaps == 1


async def test_a_deaf_layer_is_left_and_found_again(layer: FailingLayer, heard: Heard) -> None:
    options = {"echo_seconds": 0.02, "silence_seconds": 0.05}
    async with hearing(layer, heard, **options) as hub:
        await until(lambda: hub.connected)
        await hub.join("a", ["user:1"])
        await layer.group_discard(group_name("node:n"), next(iter(layer.groups[group_name("node:n")])))
        await until(lambda: heard.gaps == 1 and hub.connected)
        await publish(layer, "user:1", "heard")
        await until(lambda: ("a", "heard") in heard.messages)
    assert ("group_send", group_name("node:n")) in layer.calls
    assert ECHO.startswith("gateway.")


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_a_hub_may_be_cancelled_at_any_point_and_leaves_no_task(
    layer: FailingLayer, heard: Heard, turns: int
) -> None:
    async with hearing(layer, heard) as hub:
        joining = asyncio.create_task(hub.join("a", ["user:1", "everyone"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        hub.leave("a", ["user:1", "everyone"])
        await asyncio.wait([joining], timeout=DEADLINE_SECONDS)
        assert joining.done()


async def test_a_join_that_waits_is_answered_when_the_hub_ends(layer: FailingLayer, heard: Heard) -> None:
    blocked = asyncio.Event()

    async def stuck(group: str, channel: str) -> None:
        blocked.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(DEADLINE_SECONDS):
        async with hearing(layer, heard) as hub:
            await until(lambda: hub.connected)
            layer.group_add = stuck  # type: ignore[method-assign]
            joining = [asyncio.create_task(hub.join("a", ["user:1"]))]
            await blocked.wait()
            joining.append(asyncio.create_task(hub.join("b", ["user:2"])))
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {*joining, asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.wait([*others, *joining])
        assert not hub.connected
