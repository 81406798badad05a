"""What links are told of who comes and goes, on one node; config/tests/contract/test_presence.py has two."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.cluster import asking, comings, memory_store, signals
from proxy.cluster.asking import Answering
from proxy.cluster.comings import Comings
from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.presence import Roll
from proxy.cluster.questions import Answers, Question
from proxy.cluster.tests.hearing import until
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.records import ConnectionRecord
from proxy.core.topics import TopicKind, node_topic
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link

MILL = "experience:mill"


class Told:
    """A stream that notes what its client is told."""

    buffered_bytes, gathers = 0, False

    def __init__(self) -> None:
        self.words: list[tuple[str, list[str]]] = []

    def inject(self, *events: Event) -> None:
        for event in events:
            said: dict[str, Any] = json.loads(event.text)
            self.words.append((said["type"].removeprefix("gateway."), [each["user"] for each in said["who"]]))

    def end(self, close: Close, by: ClosedBy) -> bool:
        return True

    def abort(self) -> None: ...


class Node:
    """The part of a node that tells who comes and goes."""

    def __init__(self, layer: MemoryChannelLayer) -> None:
        self.links: dict[str, Link] = {}
        self.hub = Hub(layer, own_topic=node_topic("n"))
        self.hub.listen(signals.ALL_NODES)
        self.answering = Answering(layer.store)
        self.comings = Comings([TopicKind("experience", presence=True)], self.links)
        for party in (self.answering, Roll(self.answering, live=self.links), self.comings):
            party.listen(self.hub)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for work in (self.hub.run, self.answering.run, self.comings.run):
                tasks.create_task(work())

    async def open(self, user: str) -> Told:
        link, told = (
            Link(
                ConnectionRecord(id=user, route="r", opened_at=datetime.now(UTC), user_id=user),
                topics=(MILL,),
            ),
            Told(),
        )
        link.begin(told)
        await self.hub.join(link, link.topics)
        self.links[link.id] = link
        self.comings.opened(link)
        return told

    def close(self, user: str) -> None:
        link = self.links.pop(user)
        self.hub.leave(link, link.topics)
        self.comings.closed(link)


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> MemoryChannelLayer:
    layer = MemoryChannelLayer(capacity=10_000)
    for module in (asking, signals):
        monkeypatch.setattr(module, "get_channel_layer", lambda: layer)
    return layer


@pytest.fixture
async def node(layer: MemoryChannelLayer) -> AsyncIterator[Node]:
    node = Node(layer)
    running = asyncio.ensure_future(node.run())
    await until(lambda: node.hub.connected)
    yield node
    running.cancel()
    await asyncio.wait([running])


async def test_who_comes_hears_who_is_there_and_the_others_hear_who_comes_and_goes(node: Node) -> None:
    ann = await node.open("ann")
    await until(lambda: ("joined", ["ann"]) in ann.words and ("present", ["ann"]) in ann.words)
    ann.words.clear()
    bob = await node.open("bob")
    await until(lambda: ("present", ["ann", "bob"]) in [(word, sorted(who)) for word, who in bob.words])
    node.close("bob")
    await until(lambda: ann.words == [("joined", ["bob"]), ("left", ["bob"])])


async def test_a_link_that_goes_before_anybody_could_be_asked_is_forgotten(layer: MemoryChannelLayer) -> None:
    deaf = Node(layer)
    link = Link(ConnectionRecord(id="c", route="r", opened_at=datetime.now(UTC)), topics=(MILL,))
    deaf.comings.opened(link)
    deaf.comings.closed(link)
    left = weakref.ref(link)
    del link
    gc.collect()
    assert left() is None


async def test_what_is_said_while_a_node_asks_is_heard_behind_the_answer(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(questions: Sequence[Question]) -> list[Answers]:
        answers = await asking.ask(questions)
        answered.set()
        await go_on.wait()
        return answers

    monkeypatch.setattr(comings, "ask", slowly)
    ann = await node.open("ann")
    await answered.wait()
    await node.open("bob")
    await until(lambda: any("bob" in text for text in node.comings._held[MILL]))
    assert ("joined", ["bob"]) not in ann.words
    go_on.set()
    await until(lambda: ("joined", ["bob"]) in ann.words)
    assert ann.words.index(("present", ["ann"])) < ann.words.index(("joined", ["bob"]))


async def test_a_node_that_does_not_answer_is_asked_again_and_not_for_ever(
    node: Node, layer: MemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_store, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(comings, "LOOK_SECONDS", 0.01)
    silent = Hub(layer, own_topic=node_topic("silent"))
    silent.listen(MILL)
    hearing = asyncio.ensure_future(silent.run())
    await until(lambda: silent.connected)
    ann = await node.open("ann")
    await until(lambda: ann.words.count(("present", ["ann"])) == comings.MOST_LOOKS)
    hearing.cancel()
    await asyncio.wait([hearing])
    node.comings.lost()
    await until(lambda: ann.words.count(("present", ["ann"])) == comings.MOST_LOOKS + 1)


async def test_words_that_cannot_be_sent_have_every_node_look_around(
    node: Node, layer: MemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comings, "LOOK_SECONDS", 0.01)
    ann = await node.open("ann")
    await until(lambda: len(ann.words) == 2)
    send = layer.group_send

    async def send_or_fail(group: str, message: dict[str, Any]) -> None:
        if message["type"] == signals.MOVED:
            raise ConnectionError("away")
        await send(group, message)

    monkeypatch.setattr(layer, "group_send", send_or_fail)
    node.comings._say("gateway.joined", MILL, node.links["ann"])
    await until(lambda: len(ann.words) == 3)
    assert ann.words[-1] == ("present", ["ann"])
