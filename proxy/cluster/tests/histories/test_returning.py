"""What a client that comes back is told of what its topics remember."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from config.testing.forwarder import Forwarder
from config.testing.servers import ValkeyServer
from proxy import metrics
from proxy.cluster import signals
from proxy.cluster.catching_up import CatchingUp
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.questions import LayerAway, Question
from proxy.cluster.tests.hearing import until
from proxy.cluster.tests.histories.conftest import LONG, PLENTY, Store, in_redis
from proxy.core.events import Event
from proxy.core.history import Position
from proxy.core.records import ConnectionRecord
from proxy.core.topics import group_name
from proxy.engine.links.link import Link


class Stream:
    """Keeps what it is given."""

    buffered_bytes, gathers = 0, False

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def inject(self, *events: Event) -> None:
        self.told += [json.loads(event.text) for event in events]


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
