"""Who watches the topics is told of the first and the last local link of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from proxy.cluster.tests.hearing import DEADLINE_SECONDS, FailingLayer, Heard, hearing, until
from proxy.core.topics import TopicKind, user_topic
from proxy.engine.hub import Hub

room = TopicKind("room")


class Odd(BaseException):
    """What no `except Exception` catches."""


class Watcher:
    """Notes what it is told. `hold` keeps a call from ending; one for `fails`, a topic, raises `failure`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.fails = ""
        self.failure: BaseException = ConnectionError("a watcher's own")
        self.hold = asyncio.Event()
        self.hold.set()

    async def first_joined(self, topics: Sequence[str]) -> None:
        await self._note("+", topics)

    async def last_left(self, topics: Sequence[str]) -> None:
        await self._note("-", topics)

    async def _note(self, sign: str, topics: Sequence[str]) -> None:
        self.told += [f"{sign}{topic}" for topic in topics]
        await self.hold.wait()
        if self.fails in topics:
            raise self.failure


@asynccontextmanager
async def watching(hub: Hub, watcher: Watcher) -> AsyncIterator[None]:
    watch = asyncio.create_task(hub.watch(watcher, [room, user_topic]))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait([watch], timeout=DEADLINE_SECONDS)


async def test_a_watcher_is_told_of_the_first_and_the_last_link_of_a_topic_before_the_join_returns(
    layer: FailingLayer, heard: Heard
) -> None:
    watcher = Watcher()
    async with hearing(layer, heard) as hub, watching(hub, watcher), asyncio.timeout(DEADLINE_SECONDS):
        await hub.join(heard.ear("a"), ["room:1", "connection:a", "everyone"])
        assert watcher.told == ["+room:1"]
        await hub.join(heard.ear("b"), ["room:1", "user:b"])
        assert watcher.told == ["+room:1", "+user:b"]
        hub.leave(heard.ear("a"), ["room:1", "connection:a", "everyone"])
        hub.leave(heard.ear("b"), ["room:1", "user:b"])
        await until(lambda: len(watcher.told) == 4)
        await hub.join(heard.ear("a"), ["room:1"])
    assert sorted(watcher.told[2:4]) == ["-room:1", "-user:b"]
    assert watcher.told[4:] == ["+room:1"]


@pytest.mark.parametrize("failure", [ConnectionError("a watcher's own"), asyncio.CancelledError(), Odd()])
async def test_a_watcher_that_fails_is_told_all_the_same_what_comes_next(
    layer: FailingLayer, heard: Heard, caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    watcher = Watcher()
    watcher.fails, watcher.failure = "room:1", failure
    async with hearing(layer, heard) as hub, watching(hub, watcher), asyncio.timeout(DEADLINE_SECONDS):
        await hub.join(heard.ear("a"), ["room:1"])
        await hub.join(heard.ear("a"), ["room:2"])
        await hub.join(heard.ear("b"), ["room:1"])
        hub.leave(heard.ear("a"), ["room:1", "room:2"])
        hub.leave(heard.ear("b"), ["room:1"])
        await until(lambda: len(watcher.told) == 4)
    assert watcher.told[:2] == ["+room:1", "+room:2"]
    assert sorted(watcher.told[2:]) == ["-room:1", "-room:2"]
    assert caplog.text.count("a watcher of topics failed") == 2


async def test_a_link_that_leaves_while_its_first_join_is_under_way_is_told_of_in_order(
    layer: FailingLayer, heard: Heard
) -> None:
    watcher = Watcher()
    watcher.hold.clear()
    async with hearing(layer, heard) as hub, watching(hub, watcher), asyncio.timeout(DEADLINE_SECONDS):
        joining = asyncio.create_task(hub.join(heard.ear("a"), ["room:1"]))
        await until(lambda: watcher.told == ["+room:1"])
        joining.cancel()
        await asyncio.wait([joining])
        hub.leave(heard.ear("a"), ["room:1"])
        late = asyncio.create_task(hub.join(heard.ear("b"), ["room:2"]))
        await asyncio.sleep(0)
        assert watcher.told == ["+room:1"]
        watcher.hold.set()
        await late
        await until(lambda: "-room:1" in watcher.told)
    assert watcher.told[0] == "+room:1"
    assert sorted(watcher.told[1:]) == ["+room:2", "-room:1"]


async def test_a_topic_that_is_left_and_joined_in_one_round_is_not_told_of(
    layer: FailingLayer, heard: Heard
) -> None:
    watcher = Watcher()
    async with hearing(layer, heard) as hub, watching(hub, watcher), asyncio.timeout(DEADLINE_SECONDS):
        await hub.join(heard.ear("a"), ["room:1"])
        hub.leave(heard.ear("a"), ["room:1"])
        await hub.join(heard.ear("b"), ["room:1"])
        await hub.join(heard.ear("b"), ["room:2"])
    assert watcher.told == ["+room:1", "+room:2"]


async def test_a_join_does_not_wait_for_a_watcher_that_hangs_or_has_ended(
    layer: FailingLayer, heard: Heard
) -> None:
    watcher = Watcher()
    watcher.hold.clear()
    async with hearing(layer, heard, call_seconds=0.05) as hub, asyncio.timeout(DEADLINE_SECONDS):
        async with watching(hub, watcher):
            await hub.join(heard.ear("a"), ["room:1"])
        await hub.join(heard.ear("a"), ["room:2"])
    assert watcher.told == ["+room:1"]


async def test_who_watches_anew_is_told_of_all_topics_that_there_are(
    layer: FailingLayer, heard: Heard
) -> None:
    async with hearing(layer, heard) as hub, asyncio.timeout(DEADLINE_SECONDS):
        async with watching(hub, Watcher()):
            await hub.join(heard.ear("a"), ["room:1", "room:2", "connection:a"])
        hub.leave(heard.ear("a"), ["room:2"])
        watcher = Watcher()
        async with watching(hub, watcher):
            await until(lambda: watcher.told == ["+room:1"])
