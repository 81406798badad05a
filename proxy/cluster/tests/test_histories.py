"""What topics remember and tell to who comes back: in memory, and in a real Redis, by the same rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from config.testing.forwarder import Forwarder
from config.testing.servers import ValkeyServer
from proxy import metrics
from proxy.cluster import signals
from proxy.cluster.catching_up import CatchingUp
from proxy.cluster.histories import Asked
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.questions import LayerAway, Question
from proxy.cluster.shipments import Shipment
from proxy.cluster.tests.hearing import Heard, hear_events, until
from proxy.core.events import Event
from proxy.core.history import Found, History, Outcome, Position
from proxy.core.records import ConnectionRecord
from proxy.core.topics import group_name, node_topic
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link

LONG = History(events=100, seconds=600)
LARGE = History(events=100, seconds=600, bytes=10_000)
BRIEF = History(events=3, seconds=600)
PLENTY = 1 << 20


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


in_redis = pytest.mark.parametrize("make_store", ["redis"], indirect=True)


async def test_what_came_since_is_found_over_all_topics_in_order(store: Store) -> None:
    await store.publish("room:1", 1, 2)
    since = await store.now()
    for topic, number in (("room:2", 3), ("room:1", 4), ("room:3", 5), ("room:2", 6)):
        await store.publish(topic, number)
    found = await store.find(since, "room:1", "room:2", "room:4")
    assert (store.numbers(found), found.outcome(since)) == ([3, 4, 6], Outcome.RECOVERED)
    assert (await store.find(found.now, "room:1", "room:2")).entries() == []


async def test_more_than_a_topic_remembers_is_said_to_be_forgotten(store: Store) -> None:
    since = await store.now()
    await store.publish("room:1", 1, 2, 3, history=BRIEF)
    found = await store.find(since, "room:1", history=BRIEF)
    assert (store.numbers(found), found.outcome(since)) == ([1, 2, 3], Outcome.RECOVERED)
    await store.publish("room:1", 4, history=BRIEF)
    found = await store.find(since, "room:1", history=BRIEF)
    assert (store.numbers(found), found.outcome(since)) == ([], Outcome.FORGOTTEN)


async def test_a_topic_remembers_no_more_bytes_than_it_may_and_says_what_it_has_forgotten(
    store: Store,
) -> None:
    since = [await store.now()]
    for number in range(30):
        await store.publish("room:1", number, text="x" * 650, history=LARGE)
        since.append(await store.now())
    kept = store.numbers(await store.find(since[-11], "room:1", history=LARGE))
    assert kept == list(range(20, 30))
    for missed, expected in ((10, Outcome.RECOVERED), (20, Outcome.FORGOTTEN), (30, Outcome.FORGOTTEN)):
        place = since[30 - missed]
        assert (await store.find(place, "room:1", history=LARGE)).outcome(place) is expected


async def test_an_event_that_is_larger_than_all_that_a_topic_may_remember_is_remembered_alone(
    store: Store,
) -> None:
    await store.publish("room:1", *range(60), history=LARGE)
    since = await store.now()
    await store.publish("room:1", 60, text="x" * 20_000, history=LARGE)
    found = await store.find(since, "room:1", history=LARGE)
    assert (store.numbers(found), found.outcome(since)) == ([60], Outcome.RECOVERED)
    await store.publish("room:1", 61, history=LARGE)
    found = await store.find(since, "room:1", history=LARGE)
    assert (store.numbers(found), found.outcome(since)) == ([], Outcome.FORGOTTEN)
    await store.publish("room:1", *range(62, 80), history=LARGE)
    assert len((await store.find(found.now, "room:1", history=LARGE)).entries()) == 18


@in_redis
async def test_many_topics_of_the_largest_events_fill_no_redis(store: Store, valkey: ValkeyServer) -> None:
    async with Redis.from_url(valkey.url) as redis:
        before = (await redis.info("memory"))["used_memory_dataset"]
        for topic in range(4):
            await store.publish(f"room:{topic}", *range(50), text="x" * 500_000)
        after = (await redis.info("memory"))["used_memory_dataset"]
    assert after - before < 4 * (2 << 20)


async def test_too_many_bytes_or_events_are_said_to_be_too_much(store: Store) -> None:
    since = await store.now()
    await store.publish("room:1", *range(50))
    assert (await store.find(since, "room:1", most=1000)).outcome(since) is Outcome.TOO_MUCH
    assert (await store.find(since, "room:1")).outcome(since) is Outcome.RECOVERED
    for topic in range(2, 23):
        await store.publish(f"room:{topic}", *range(50))
    found = await store.find(since, *(f"room:{topic}" for topic in range(1, 23)))
    assert found.outcome(since) is Outcome.TOO_MUCH


@in_redis
async def test_of_large_events_hardly_more_is_read_than_may_be_told_and_nothing_is_sent(
    store: Store, valkey: ValkeyServer
) -> None:
    since = await store.now()
    large = f'{{"text":"{"x" * 100_000}"}}'
    signal = {**signals.event(large), "topic": "room:1"}
    question = Question(group=group_name("room:1"), signal=signal, history=replace(LONG, bytes=16 << 20))
    await store.layer.store.ask([question] * 100)
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_resetstat()
        found = await store.find(since, "room:1", "room:2", most=500_000)
        sent, calls = await redis.info("stats"), await redis.info("commandstats")
    assert (found.outcome(since), found.entries()) == (Outcome.TOO_MUCH, [])
    assert sent["total_net_output_bytes"] < 20_000
    assert calls["cmdstat_xrange"]["calls"] == 3  # of 1, 2 and 4 entries


@in_redis
async def test_many_who_come_back_for_much_are_in_nobodys_way(
    store: Store, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published is carried out over another connection, and few of them are answered at a time."""
    since = await store.now()
    await store.publish("room:1", *range(90))
    lines = store.layer._get_layer().lines
    monkeypatch.setattr(store.layer, "_confirm", lambda: asyncio.sleep(0))
    coming = [asyncio.ensure_future(store.find(since, "room:1")) for _ in range(50)]
    await until(lines._large._turns.locked)
    assert len(lines._large.pipeline._replies) <= 4
    await store.publish("room:1", 90)
    found = await asyncio.gather(*coming)
    assert {len(each.entries()) for each in found} <= {90, 91}


async def test_a_repetition_is_remembered_once(store: Store) -> None:
    since = await store.now()
    for _ in range(2):
        await store.publish("room:1", 1, once="key")
    assert store.numbers(await store.find(since, "room:1")) == [1]


async def test_what_a_transaction_left_is_remembered_as_it_is_shipped(store: Store) -> None:
    since = await store.now()
    signal = {**signals.event('{"number":7}'), "topic": "room:1"}
    assert await store.layer.store.take_turn("n")
    assert await store.layer.store.ship([Shipment(group_name("room:1"), signal, "row", LONG)], who="n")
    assert store.numbers(await store.find(since, "room:1")) == [7]


async def test_what_is_heard_has_the_position_that_it_is_remembered_at(store: Store, heard: Heard) -> None:
    await store.join(heard.ear("a"), "room:1")
    await store.publish("room:1", 1, 2)
    await store.publish("room:1", 3, history=None)
    await until(lambda: len(heard.messages) == 3)
    first, second, third = (json.loads(text) for _, text in heard.messages)
    since = Position.parse(first["since"])
    assert since is not None
    found = await store.find(since, "room:1")
    assert [str(Position(found.now.epoch, entry.number)) for entry in found.entries()] == [second["since"]]
    assert "since" not in third


@in_redis
@pytest.mark.parametrize("loss", ["restart", "flush"])
async def test_a_redis_that_may_have_lost_something_begins_a_new_epoch(
    store: Store, valkey: ValkeyServer, loss: str
) -> None:
    await store.publish("room:1", 1)
    since = await store.now()
    if loss == "flush":
        valkey.flush()
    else:
        valkey.kill()
        await until(lambda: not store.hub.connected)
        valkey.start()
        await until(lambda: store.hub.connected)
    assert (await store.find(since, "room:1")).outcome(since) is Outcome.UNKNOWN
    await store.publish("room:1", 2)
    later = await store.now()
    assert later.epoch != since.epoch
    assert later.number > since.number


@in_redis
async def test_a_topic_is_gone_with_the_time_of_its_last_event(store: Store, valkey: ValkeyServer) -> None:
    await store.publish("room:1", 1)
    async with Redis.from_url(valkey.url, decode_responses=True) as redis:
        key = f"gateway:history:{group_name('room:1')}"
        assert LONG.seconds - 60 < await redis.ttl(key) <= LONG.seconds
        await redis.delete(key)
        position = str(await redis.hget("gateway:position", "last"))
    since = Position((await store.now()).epoch, int(position) - 1)
    assert (await store.find(since, "room:1")).outcome(since) is Outcome.RECOVERED  # as if nothing had been
    old = Position(since.epoch, since.number - (LONG.seconds + 60) * 1_000_000)
    assert (await store.find(old, "room:1")).outcome(old) is Outcome.FORGOTTEN


class Stream:
    """Keeps what it is given."""

    buffered_bytes = 0

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def inject(self, event: Event) -> None:
        self.told.append(json.loads(event.text))


def a_link() -> Link:
    record = ConnectionRecord(id="x", route="rooms", opened_at=datetime.now(UTC))
    return Link(record, topics=("user:1", "room:1"))


async def test_a_link_hears_what_it_missed_then_what_came_meanwhile_and_nothing_twice(store: Store) -> None:
    catching_up = CatchingUp(store.layer, store.hub)
    since = await store.now()
    await store.publish("room:1", 1, 2)
    link, stream = a_link(), Stream()
    await store.join(link, *link.topics)
    await store.publish("room:1", 3)  # it waits in the link, and is in the history
    await until(lambda: bool(link._waiting))
    await catching_up.catch_up(link, {"room": LONG}, since=str(since), outbox_bytes=PLENTY)
    await store.publish("room:1", 4)
    link.begin(stream)  # type: ignore[arg-type]
    await store.publish("room:1", 5)
    await until(lambda: len(stream.told) >= 6)
    told, *events = stream.told
    assert told == {"type": "gateway.recovered", "recovered": True, "events": 3, "since": str(since)}
    assert [event["number"] for event in events] == [1, 2, 3, 4, 5]
    positions = [Position.parse(event["since"]) for event in events]
    assert positions == sorted(positions)  # type: ignore[type-var]


@pytest.mark.parametrize(("since", "reason"), [("", "new"), ("nonsense", "unknown"), ("1-1", "unknown")])
async def test_a_link_that_cannot_be_told_what_it_missed_is_told_that(
    store: Store, since: str, reason: str
) -> None:
    await store.publish("room:1", 1)
    link, stream = a_link(), Stream()
    await store.hub.join(link, link.topics)
    await CatchingUp(store.layer, store.hub).catch_up(link, {"room": LONG}, since=since, outbox_bytes=PLENTY)
    link.begin(stream)  # type: ignore[arg-type]
    await store.publish("room:1", 2)
    await until(lambda: len(stream.told) >= 2)
    told, event = stream.told
    assert (told["recovered"], told["reason"], event["number"]) == (False, reason, 2)
    position = Position.parse(told["since"])
    assert position is not None
    assert store.numbers(await store.find(position, "room:1")) == [2]


@in_redis
async def test_without_redis_a_link_is_told_that_nobody_knows_and_keeps_what_it_said(
    store: Store, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.catching_up.SEND_SECONDS", 600)  # none waits so long meanwhile
    link, stream = a_link(), Stream()
    await store.hub.join(link, link.topics)
    since = str(await store.now())
    valkey.kill()
    await until(lambda: not store.hub.connected)
    await CatchingUp(store.layer, store.hub).catch_up(link, {"room": LONG}, since=since, outbox_bytes=PLENTY)
    link.begin(stream)  # type: ignore[arg-type]
    assert stream.told == [
        {
            "type": "gateway.recovered",
            "recovered": False,
            "events": 0,
            "reason": "unavailable",
            "since": since,
        }
    ]


async def test_a_link_that_came_before_its_node_heard_anything_is_told_of_the_gap(
    make_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.catching_up.SEND_SECONDS", 0.3)
    store, gaps = make_store(), list[str]()
    store.hub.on_gap(lambda: gaps.append("told"))
    link, stream = a_link(), Stream()
    await store.hub.join(link, link.topics)
    await CatchingUp(store.layer, store.hub).catch_up(link, {"room": LONG}, since="", outbox_bytes=PLENTY)
    link.begin(stream)  # type: ignore[arg-type]
    assert stream.told[0]["reason"] == "unavailable"
    running = asyncio.create_task(store.hub.run())
    await until(lambda: store.hub.connected)
    assert gaps == ["told"]
    running.cancel()
    await asyncio.wait([running])


async def test_nothing_is_read_before_redis_has_taken_the_subscriptions(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published between the reading and the subscription would be nowhere."""
    monkeypatch.setattr("proxy.cluster.layer.SEND_SECONDS", 0.5)
    async with Forwarder(valkey.port).open() as forwarder:
        layer = GatewayChannelLayer(
            hosts=[{"address": f"redis://127.0.0.1:{forwarder.port}"}], prefix="gateway"
        )
        channel = await layer.new_channel()
        await layer.recover([], since=None, most_bytes=PLENTY)
        forwarder.freeze()
        await layer.groups_add([group_name("room:1")], channel)
        await layer._get_layer().lines.close()  # scripts are carried out over another connection
        with pytest.raises(LayerAway):
            await layer.recover([], since=None, most_bytes=PLENTY)
        await layer.flush()


@in_redis
async def test_what_is_no_event_is_skipped_told_to_operators_once_and_counted(
    store: Store, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    catching_up, since = CatchingUp(store.layer, store.hub), await store.now()
    key, skipped = (
        f"gateway:history:{group_name('room:1')}",
        metrics.child(metrics.EVENTS_TOTAL, "history", "skipped"),
    )
    signal, before = {"type": signals.WHO, "topic": "room:1"}, skipped._value.get()
    await store.layer.store.ask([Question(group=group_name("room:1"), signal=signal, history=LONG)])
    await store.publish("room:1", 1)
    strange: list[dict[Any, Any]] = [
        {"a": "b"},
        {"message": "junk"},
        {"message": b"\x01", "before": "x"},
    ]
    async with Redis.from_url(valkey.url) as redis:
        for fields in strange:
            await redis.xadd(key, fields)
    await store.publish("room:1", 2)
    for expected in ([1, 2], [2]):
        link, stream = a_link(), Stream()
        await store.hub.join(link, link.topics)
        await catching_up.catch_up(link, {"room": LONG}, since=str(since), outbox_bytes=PLENTY)
        link.begin(stream)  # type: ignore[arg-type]
        told, *events = stream.told
        assert (told["recovered"], [event["number"] for event in events]) == (True, expected)
        since = events[0]["since"]
    assert skipped._value.get() - before == 4 + 3
    assert len([record for record in caplog.records if "is skipped" in record.getMessage()]) == 1
