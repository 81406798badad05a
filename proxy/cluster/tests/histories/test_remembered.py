"""What topics remember: in memory, and in a real Redis, by the same rules."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster import signals
from proxy.cluster.questions import Question
from proxy.cluster.shipments import Shipment
from proxy.cluster.tests.hearing import Heard, until
from proxy.cluster.tests.histories.conftest import LONG, Store, in_redis
from proxy.core.history import History, Outcome, Position
from proxy.core.topics import group_name

LARGE = History(events=100, seconds=600, bytes=10_000)
BRIEF = History(events=3, seconds=600)


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
