"""A node looks on at a link that it is asked to, tells what it sees, and ends it; over Redis, too."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from proxy.cluster import taps as taps_module
from proxy.cluster.asking import ask, question
from proxy.cluster.questions import LayerAway
from proxy.cluster.scrolls import BEGINNING, MemoryScrolls
from proxy.cluster.signals import TAP, send_to_topic
from proxy.cluster.tap_readers import MOST_STREAMS, MOST_TAPS_READ, NotReadHere, TapReaders
from proxy.cluster.taps import MOST_TAPS, Taps, scroll_of
from proxy.cluster.tests.answering import Node, StartNode
from proxy.cluster.tests.ends import link as link_of
from proxy.core.closes import ClosedBy
from proxy.core.secrets_in_text import Secrets
from proxy.core.tapping import TAP_SECONDS, Direction, TapEnd
from proxy.core.topics import connection_topic
from proxy.engine.links import tap as tap_module
from proxy.engine.links.link import Link
from proxy.engine.links.relay import Relay
from proxy.engine.links.tests.splicing import terms, until
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg


class Rows:
    """In place of a database: which taps were written to have ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def run(self, _: Callable[..., None], tap_id: str) -> None:
        self.ended.append(tap_id)


class World:
    """One node, its taps and its links."""

    def __init__(self, node: Node, layer: Any) -> None:
        self.node, self.layer, self.rows = node, layer, Rows()
        self.links: dict[str, Link] = {}
        self.draining = False
        self.taps = Taps(
            self.links,
            node._answering,
            self.rows,  # type: ignore[arg-type]
            store=layer.store,
            secrets=Secrets(["token"]),
            is_draining=lambda: self.draining,
        )
        self.taps.listen(node.hub)

    async def link(self, name: str) -> ScriptedLeg:
        """A live link of that name; what is put into `client.heard` went to its client."""
        client = ScriptedLeg(close=None, by=ClosedBy.CLIENT)
        relay = Relay(client, ScriptedLeg(close=None, by=ClosedBy.UPSTREAM), terms())
        link, _ = link_of(name, "ada")
        link.stream = relay
        self.links[name] = link
        await self.node.hub.join(link, [connection_topic(name)])
        return client

    async def ask(self, name: str, tap_id: str) -> dict[str, Any]:
        signal = {"type": TAP, "tap": tap_id, "do": "begin", "by": "ada", "reason": "a complaint"}
        (answers,) = await ask([question(connection_topic(name), signal)])
        assert not answers.silent
        return {key: value for said in answers.said for key, value in json.loads(said).items()}

    async def say(self, name: str, message: str) -> None:
        await self.links[name].stream._downstream.send(message)  # type: ignore[union-attr]

    async def told(self, tap_id: str, *, until_ended: bool = True) -> list[dict[str, Any]]:
        """All entries of its scroll up to its end, or up to the first with lines."""
        position, found = BEGINNING, list[dict[str, Any]]()
        while True:
            for entry in await self.layer.store.read(scroll_of(tap_id), position, wait_seconds=1.0):
                position = entry.position
                found.append(json.loads(entry.text))
                if found[-1]["ended"] or (found[-1]["lines"] and not until_ended):
                    return found


@pytest.fixture
async def world(
    start_node: StartNode, make_layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    layer = make_layer()
    for module in ("asking", "signals"):
        monkeypatch.setattr(f"proxy.cluster.{module}.get_channel_layer", lambda: layer)
    monkeypatch.setattr(taps_module, "TELL_SECONDS", 0.02)
    made = World(await start_node("n1", layer), layer)
    running = asyncio.create_task(made.taps.run())
    yield made
    running.cancel()
    await asyncio.wait([running])


async def test_what_goes_over_a_link_is_told_until_it_closes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(60):
        client = await world.link("a")
        assert await world.ask("a", "t1") == {"tap": "t1"}
        assert await world.ask("a", "t1") == {"tap": "t1"}, "asked twice, it is one"
        await world.say("a", '{"token":"hunter2"}')
        assert client.heard == ['{"token":"hunter2"}']
        (seen,) = await world.told("t1", until_ended=False)
        assert [line["text"] for line in seen["lines"]] == ['{"token":"[redacted]"}']
        world.taps.closed(world.links.pop("a"))
        told = await world.told("t1")
        await until(lambda: world.rows.ended == ["t1"])
    assert told[-1]["ended"] == TapEnd.LINK_CLOSED
    began, ended = (record for record in caplog.records if record.message.startswith("tap "))
    assert (began.message, began.by, began.reason) == ("tap began", "ada", "a complaint")  # type: ignore[attr-defined]
    assert (ended.message, ended.why, ended.messages_shown) == ("tap ended", TapEnd.LINK_CLOSED, 1)  # type: ignore[attr-defined]
    assert began.tap_id == ended.tap_id == "t1"  # type: ignore[attr-defined]
    assert "hunter2" not in caplog.text


async def test_it_is_not_looked_at_by_two_nor_too_many_nor_where_nobody_is(world: World) -> None:
    async with asyncio.timeout(60):
        for number in range(MOST_TAPS + 1):
            await world.link(f"l{number}")
        assert await world.ask("nobody", "t") in ({}, {"silent": 1})
        for number in range(MOST_TAPS):
            assert await world.ask(f"l{number}", f"t{number}") == {"tap": f"t{number}"}
        assert await world.ask("l0", "other") == {"why": "somebody looks at it already"}
        assert "others are looked at" in (await world.ask(f"l{MOST_TAPS}", "more"))["why"]
        world.draining = True
        assert (await world.told("t0"))[-1]["ended"] == TapEnd.NODE_STOPS
        assert await world.ask("l0", "late") == {"why": "its node drains"}


@pytest.mark.parametrize("why", [TapEnd.STOPPED, TapEnd.NOBODY_LOOKS, TapEnd.TIME])
async def test_it_ends_when_it_is_to(
    world: World, why: TapEnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    if why is TapEnd.TIME:
        monkeypatch.setattr(tap_module, "TAP_SECONDS", 0.2)
    async with asyncio.timeout(60):
        await world.link("a")
        before = world.links["a"].stream._downstream  # type: ignore[union-attr]
        assert await world.ask("a", "t") == {"tap": "t"}
        tap = world.taps._taps["a"]
        signal = {"type": TAP, "tap": "t", "do": "stay"}
        if why is TapEnd.NOBODY_LOOKS:
            tap._looked_at = 0.0
        if why is TapEnd.STOPPED:
            tap._looked_at = before_that = tap._looked_at - 5
            await send_to_topic(connection_topic("a"), {**signal, "tap": "another", "do": "stop"})
            await send_to_topic(connection_topic("a"), signal)
            await until(lambda: tap._looked_at > before_that)
            assert tap.ended is None
            stop = {**signal, "do": "stop", "by": "bob"}
            for _ in range(2):  # the second finds it over
                (answers,) = await ask([question(connection_topic("a"), stop)])
                assert answers.said
                assert not answers.silent
        by = " by bob" if why is TapEnd.STOPPED else ""
        assert (await world.told("t"))[-1]["ended"] == f"{why}{by}"
        (ended,) = (record for record in caplog.records if record.message == "tap ended")
        assert getattr(ended, "stopped_by", "") == by.removeprefix(" by ")
        assert world.links["a"].stream._downstream is before  # type: ignore[union-attr]
        assert not world.taps._taps


async def test_while_redis_is_away_what_is_seen_is_left_out_and_the_link_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise LayerAway("Redis is away")

    async with asyncio.timeout(60):
        client = await world.link("a")
        await world.ask("a", "t")
        with monkeypatch.context() as patched:
            patched.setattr(world.layer.store, "append", away)
            await world.say("a", "lost")
            tap = world.taps._taps["a"]
            looked_at = tap._looked_at
            await until(lambda: tap.left_out == 1)
            assert tap._looked_at > looked_at, "who looks on cannot say so, either"
        await world.say("a", "told")
        (seen,) = await world.told("t", until_ended=False)
    assert ([line["text"] for line in seen["lines"]], seen["left_out"]) == (["told"], 1)
    assert client.heard == ["lost", "told"]


async def test_what_is_kept_back_is_told_though_nothing_is_shown(world: World) -> None:
    async with asyncio.timeout(60):
        await world.link("a")
        await world.ask("a", "t")
        world.taps._taps["a"]._eyes[Direction.IN].kept_back += 1
        (entry, *_) = await world.layer.store.read(scroll_of("t"), BEGINNING, wait_seconds=30)
        assert json.loads(entry.text) == {
            "lines": [],
            "left_out": 0,
            "dropped": 0,
            "kept_back": 1,
            "ended": None,
        }
        assert not world.taps._taps["a"].has_news, "it is told once"


async def test_what_was_seen_is_gone_a_minute_after_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, kept = world.layer.store.append, list[int]()

    async def noted(*words: Any, seconds: int, **more: Any) -> None:
        kept.append(seconds)
        await append(*words, seconds=seconds, **more)

    monkeypatch.setattr(world.layer.store, "append", noted)
    async with asyncio.timeout(60):
        await world.link("a")
        await world.ask("a", "t")
        await world.say("a", "hello")
        await world.told("t", until_ended=False)
        world.taps.closed(world.links.pop("a"))
        await world.told("t")
    assert TAP_SECONDS <= kept[0] <= TAP_SECONDS + 60
    assert kept[-1] == 60


def test_taps_that_are_read_are_few_and_windows_of_one_count_once() -> None:
    readers = TapReaders()

    def is_refused(tap_id: str) -> bool:
        with suppress(NotReadHere), readers.reading(tap_id):
            return False
        return True

    with ExitStack() as reading:
        for _ in range(MOST_STREAMS):
            reading.enter_context(readers.reading("t0"))
        assert is_refused("t0"), "one window too many of that tap"
        for number in range(1, MOST_TAPS_READ):
            assert not is_refused(f"t{number}")
            reading.enter_context(readers.reading(f"t{number}"))
        assert is_refused("another")
        assert not is_refused("t1"), "the second window of one that is read"
    assert not readers._streams, "nothing is kept of those that went"
    assert not any(map(is_refused, ("t0", "another")))


async def test_a_node_that_ends_puts_links_back_and_says_so(
    start_node: StartNode, make_layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer()
    for module in ("asking", "signals"):
        monkeypatch.setattr(f"proxy.cluster.{module}.get_channel_layer", lambda: layer)
    world = World(await start_node("n1", layer), layer)
    running = asyncio.create_task(world.taps.run())
    async with asyncio.timeout(60):
        await world.link("a")
        before = world.links["a"].stream._downstream  # type: ignore[union-attr]
        await world.ask("a", "t")
        running.cancel()
        assert (await world.told("t"))[-1]["ended"] == TapEnd.NODE_STOPS
    assert world.links["a"].stream._downstream is before  # type: ignore[union-attr]


def hanging_once(instead_of: Callable[..., Any]) -> tuple[Callable[..., Any], asyncio.Event]:
    """What hangs when it is called first and then does as that; set once it hangs."""
    hangs = asyncio.Event()

    async def call(*words: Any, **more: Any) -> Any:
        if not hangs.is_set():
            hangs.set()
            await asyncio.sleep(600)
        return await instead_of(*words, **more)

    return call, hangs


@pytest.mark.parametrize("what", ["database", "redis"])
async def test_what_hangs_holds_up_no_other_taps_end(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = (world.rows, "run") if what == "database" else (world.layer.store, "append")
    call, hangs = hanging_once(getattr(owner, name))
    monkeypatch.setattr(owner, name, call)
    async with asyncio.timeout(20):
        for link in "ab":
            await world.link(link)
            await world.ask(link, f"t{link}")
        other = world.taps._taps["b"]
        world.taps.closed(world.links.pop("a"))
        await hangs.wait()
        other._until = 0.0
        await until(lambda: other.ended is TapEnd.TIME)
        await until(lambda: "tb" in world.rows.ended)


@pytest.mark.parametrize("what", ["database", "redis"])
async def test_an_end_that_its_nodes_stop_breaks_into_is_told_and_written(
    start_node: StartNode, make_layer: Callable[[], Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer()
    for module in ("asking", "signals"):
        monkeypatch.setattr(f"proxy.cluster.{module}.get_channel_layer", lambda: layer)
    world = World(await start_node("n1", layer), layer)
    owner, name = (world.rows, "run") if what == "database" else (layer.store, "append")
    call, hangs = hanging_once(getattr(owner, name))
    monkeypatch.setattr(owner, name, call)
    running = asyncio.create_task(world.taps.run())
    async with asyncio.timeout(20):
        await world.link("a")
        await world.ask("a", "t")
        world.taps.closed(world.links.pop("a"))
        await hangs.wait()
        running.cancel()
        await asyncio.wait([running])
        assert world.rows.ended == ["t"]
        assert (await world.told("t"))[-1]["ended"] == TapEnd.LINK_CLOSED


async def test_a_scroll_keeps_the_last_ones_and_wakes_who_waits(make_layer: Callable[[], Any]) -> None:
    store, key = make_layer().store, scroll_of("scroll test")
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(store.read(key, BEGINNING, wait_seconds=30))
        await asyncio.sleep(0)
        for number in range(5):
            await store.append(key, str(number), most=3, seconds=60)
        assert (await waiting)[0].text in "01234"
        kept = await store.read(key, BEGINNING, wait_seconds=0)
        assert [entry.text for entry in kept] == ["2", "3", "4"]
        assert await store.read(key, kept[-1].position, wait_seconds=0.01) == []
        assert await asyncio.to_thread(store.read_sync, key) == kept


async def test_a_scroll_in_memory_is_gone_after_its_time_whether_or_not_another_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("proxy.cluster.scrolls.time.monotonic", lambda: now)
    scrolls = MemoryScrolls()
    scrolls.append("a", "secret", most=3, seconds=60)
    now += 59
    assert [entry.text for entry in scrolls.read("a", BEGINNING)] == ["secret"]
    now += 1
    assert scrolls.read("a", BEGINNING) == []
    assert not scrolls._scrolls
    scrolls.append("a", "again", most=3, seconds=60)
    now += 60
    assert await scrolls.wait("a", BEGINNING, seconds=0) == []
    assert not scrolls._scrolls, "nor does who reads leave one behind"


async def test_a_scroll_in_memory_is_gone_though_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    scrolls = MemoryScrolls()
    async with asyncio.timeout(20):
        scrolls.append("a", "secret", most=3, seconds=0)
        await until(lambda: not scrolls._scrolls)


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_what_is_written_to_a_scroll_never_stays_for_good(
    make_layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the call: that it is gone some day is said with it."""
    store = make_layer().store
    sent, carry_out = list[Any](), store._carry_out

    async def noted(command: Any, **more: Any) -> Any:
        sent.append(command)
        return await carry_out(command, **more)

    monkeypatch.setattr(store, "_carry_out", noted)
    key = scroll_of("expires")
    async with asyncio.timeout(20):
        await store.append(key, "hello", most=3, seconds=60)
        assert len(sent) == 1
        left = await carry_out(("eval", ("return redis.call('TTL', KEYS[1])", 1, key)))
    assert 55 <= left <= 60
