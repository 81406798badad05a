"""One connection for all who listen to a Redis: a real one, that is killed, frozen, and asks who we are."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import pytest
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.engine.redis import subscriber as subscribing
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.channels import SubscriberAway, SubscribeRefused
from proxy.engine.redis.connection import LOOK_REPLIES, TURN_SECONDS
from proxy.engine.redis.subscriber import Subscriber
from proxy.engine.tests.runs import running

SECONDS = 10.0


class Ear:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard_all: list[tuple[bytes, bytes]] = []
        self.told: list[str] = []

    def heard(self, channel: bytes, payload: bytes) -> None:
        self.heard_all.append((channel, payload))

    def confirmed(self) -> None:
        self.told.append("confirmed")

    def lost(self) -> None:
        self.told.append("lost")

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.heard_all]


class Bad(Ear):
    def heard(self, channel: bytes, payload: bytes) -> None:
        raise RuntimeError("a listener's mistake")


def subscribing_to(url: str) -> AbstractAsyncContextManager[Subscriber]:
    return running(Subscriber(RedisAddress.parse(url)))


@pytest.fixture
async def subscriber(own_valkey: ValkeyServer) -> AsyncIterator[Subscriber]:
    async with subscribing_to(own_valkey.url) as subscriber:
        yield subscriber


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def until_answered(ask: Callable[[], Awaitable[Any]], wanted: object) -> None:
    async with asyncio.timeout(30):
        while await ask() != wanted:
            await asyncio.sleep(0.01)


async def test_all_that_is_published_after_the_confirmation_is_heard_in_order(
    subscriber: Subscriber, redis: Redis
) -> None:
    ear, by_pattern = Ear(), Ear()
    await subscriber.subscribe("session:1:down", ear, within_seconds=SECONDS)
    await subscriber.subscribe("session:*:down", by_pattern, within_seconds=SECONDS, is_pattern=True)
    said = [b"%d" % number for number in range(20_000)] + [b"", b"\xff\x00", b"x" * 1_000_000]
    async with redis.pipeline(transaction=False) as pipeline:
        for payload in said:
            pipeline.publish("session:1:down", payload)
        await pipeline.execute()
    await redis.publish("session:2:down", "not for all")
    await until(lambda: len(by_pattern.heard_all) == len(said) + 1)
    assert ear.payloads == said
    assert by_pattern.payloads == [*said, b"not for all"]
    assert by_pattern.heard_all[-1][0] == b"session:2:down"
    assert ear.told == by_pattern.told == ["confirmed"]


async def test_a_listener_that_takes_its_time_keeps_nobody_from_the_loop_for_much_longer_than_a_turn(
    subscriber: Subscriber, redis: Redis
) -> None:
    class Slow(Ear):
        def heard(self, channel: bytes, payload: bytes) -> None:
            super().heard(channel, payload)
            until = perf_counter() + TURN_SECONDS / 10
            while perf_counter() < until:
                """It is busy."""

    ear, in_a_turn = Slow(), []
    await subscriber.subscribe("news", ear, within_seconds=SECONDS)
    pipeline = redis.pipeline(transaction=False)
    for number in range(500):
        pipeline.publish("news", str(number))
    publishing = asyncio.create_task(pipeline.execute())
    while len(ear.heard_all) < 500:
        before = len(ear.heard_all)
        await asyncio.sleep(0)
        in_a_turn.append(len(ear.heard_all) - before)
    assert max(in_a_turn) <= 2 * LOOK_REPLIES  # of the end of one reading and the begin of the next
    assert ear.payloads == [b"%d" % number for number in range(500)]
    await publishing


async def test_listeners_share_a_subscription_until_the_last_one_goes(
    subscriber: Subscriber, redis: Redis
) -> None:
    ears = [Ear(), Ear(), Ear()]
    subscriptions = [await subscriber.subscribe("room", ear, within_seconds=SECONDS) for ear in ears]
    assert (await redis.info("commandstats"))["cmdstat_subscribe"]["calls"] == 1
    subscriptions[0].close()
    subscriptions[0].close()
    assert await redis.publish("room", "to two") == 1
    await until(lambda: ears[1].payloads == ears[2].payloads == [b"to two"])
    assert ears[0].payloads == []
    for subscription in subscriptions[1:]:
        subscription.close()
    await until_answered(redis.pubsub_channels, [])
    assert subscriber.count == 0


async def test_subscriptions_of_one_turn_share_commands(subscriber: Subscriber, redis: Redis) -> None:
    await subscriber.subscribe("first", Ear(), within_seconds=SECONDS)
    subscriptions = await asyncio.gather(
        *(subscriber.subscribe(f"room:{number}", Ear(), within_seconds=SECONDS) for number in range(2500))
    )
    for subscription in subscriptions:
        subscription.close()
    await until_answered(redis.pubsub_channels, [b"first"])
    stats = await redis.info("commandstats")
    assert stats["cmdstat_subscribe"]["calls"] == 1 + 3
    assert stats["cmdstat_unsubscribe"]["calls"] == 3


async def test_a_name_that_is_given_up_and_wanted_again_at_once_is_heard_again(
    subscriber: Subscriber, redis: Redis
) -> None:
    for _ in range(20):
        before, ear = Ear(), Ear()
        (await subscriber.subscribe("room", before, within_seconds=SECONDS)).close()
        subscription = await subscriber.subscribe("room", ear, within_seconds=SECONDS)
        await redis.publish("room", "a")
        await until(lambda ear=ear: ear.payloads == [b"a"])  # type: ignore[misc]
        assert before.payloads == []
        subscription.close()


async def test_a_wait_that_is_given_up_leaves_no_subscription(subscriber: Subscriber, redis: Redis) -> None:
    for turns in range(8):
        waiting = asyncio.ensure_future(subscriber.subscribe("room", Ear(), within_seconds=SECONDS))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            (await waiting).close()
        assert subscriber.count == 0
    await until_answered(redis.pubsub_channels, [])


async def test_a_listener_that_fails_costs_its_neighbours_nothing(
    subscriber: Subscriber, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear()
    for each in (Bad(), ear):
        await subscriber.subscribe("room", each, within_seconds=SECONDS)
    await redis.publish("room", "a")
    await until(lambda: ear.payloads == [b"a"])
    assert "a listener of a channel failed" in caplog.messages


async def test_a_redis_that_is_killed_and_back_is_subscribed_to_anew_and_listeners_are_told(
    subscriber: Subscriber, own_valkey: ValkeyServer, redis: Redis
) -> None:
    ear, later = Ear(), Ear()
    await subscriber.subscribe("room", ear, within_seconds=SECONDS)
    for time in range(1, 3):
        await asyncio.to_thread(own_valkey.kill)
        await until(lambda: subscriber.is_away)
        with pytest.raises(SubscriberAway):
            await subscriber.subscribe("other", Ear(), within_seconds=SECONDS)
        subscriber.listen(f"later:{time}", later)
        await asyncio.to_thread(own_valkey.start)
        await until(lambda time=time: ear.told == ["confirmed"] + ["lost", "confirmed"] * time)  # type: ignore[misc]
        await redis.connection_pool.disconnect()  # a pool is told of no restart
        await redis.publish("room", f"after {time}")
        await until(lambda time=time: ear.payloads[-1:] == [b"after %d" % time])  # type: ignore[misc]
    assert later.told == ["confirmed", "lost", "confirmed", "confirmed"]
    assert len(ear.payloads) == 2


async def test_a_redis_that_answers_nobody_is_lost_and_is_back_once_it_does(
    subscriber: Subscriber, own_valkey: ValkeyServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "PING_SECONDS", 0.2)
    monkeypatch.setattr(subscribing, "SILENCE_SECONDS", 1.0)
    ear = Ear()
    await subscriber.subscribe("room", ear, within_seconds=SECONDS)
    own_valkey.freeze()
    with pytest.raises((TimeoutError, SubscriberAway)):
        await subscriber.subscribe("other", Ear(), within_seconds=0.1)
    await until(lambda: ear.told == ["confirmed", "lost"])
    own_valkey.ensure_running()
    await until(lambda: ear.told == ["confirmed", "lost", "confirmed"])
    await redis.publish("room", "again")
    await until(lambda: ear.payloads == [b"again"])
    await until_answered(redis.pubsub_channels, [b"room"])


async def test_a_process_that_stood_still_itself_does_not_take_its_redis_for_silent(
    subscriber: Subscriber, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "PING_SECONDS", 0.2)
    monkeypatch.setattr(subscribing, "SILENCE_SECONDS", 0.6)
    ear = Ear()
    await subscriber.subscribe("room", ear, within_seconds=SECONDS)
    await asyncio.sleep(0.3)  # until it waits by the new times
    for _ in range(3):
        sleep(1.5)  # noqa: ASYNC251  as a process that is stopped, or a machine that is
        await asyncio.sleep(0.3)
    await redis.publish("room", "heard")
    await until(lambda: ear.payloads == [b"heard"])
    assert ear.told == ["confirmed"]


async def test_its_end_unsubscribes_and_lets_go_of_who_waits(own_valkey: ValkeyServer, redis: Redis) -> None:
    ear = Ear()
    async with subscribing_to(own_valkey.url) as subscriber:
        await subscriber.subscribe("room", ear, within_seconds=SECONDS)
        own_valkey.freeze()
        waiting = asyncio.ensure_future(subscriber.subscribe("other", Ear(), within_seconds=SECONDS))
        await asyncio.sleep(0)
    own_valkey.ensure_running()
    with pytest.raises(SubscriberAway):
        await waiting
    assert ear.told == ["confirmed", "lost"]
    await until_answered(redis.pubsub_channels, [])


async def test_who_may_not_hear_a_channel_is_told_and_others_of_its_turn_are_not_refused(
    own_valkey: ValkeyServer, redis: Redis
) -> None:
    await redis.acl_setuser(
        "ann",
        enabled=True,
        passwords=["+p@ss"],
        channels=["room:*"],
        reset_channels=True,
        categories=["+@all"],
    )
    async with subscribing_to(own_valkey.url.replace("//", "//ann:p%40ss@")) as subscriber:
        ear = Ear()
        asked = [
            subscriber.subscribe(name, ear, within_seconds=SECONDS) for name in ("room:1", "secret", "room:2")
        ]
        _, refused, _ = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(refused, SubscribeRefused)
        for room in ("room:1", "room:2"):
            await redis.publish(room, room)
        await until(lambda: ear.payloads == [b"room:1", b"room:2"])


async def test_a_wrong_password_is_as_good_as_no_redis_and_is_not_logged(
    own_valkey: ValkeyServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.config_set("requirepass", "right")
    with caplog.at_level(logging.INFO):
        for login in (":wrong@", ""):
            async with subscribing_to(own_valkey.url.replace("//", f"//{login}")) as subscriber:
                subscriber.listen("room", Ear())
                await until(lambda subscriber=subscriber: subscriber.is_away)  # type: ignore[misc]
    why = [record.why for record in caplog.records if hasattr(record, "why")]
    assert [each.split()[:2] for each in why] == [["LoginRefused:", "WRONGPASS"], ["LoginRefused:", "NOAUTH"]]
    assert not [record for record in caplog.records if ":wrong" in str(vars(record))]
    async with subscribing_to(own_valkey.url.replace("//", "//:right@")) as subscriber:
        await subscriber.subscribe("room", Ear(), within_seconds=SECONDS)


async def test_tls_and_unix_sockets_are_spoken_as_the_url_says(
    own_valkey: ValkeyServer, redis: Redis, certificate: Path, tmp_path: Path
) -> None:
    speaks = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    speaks.load_cert_chain(certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", own_valkey.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    in_tls = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=speaks)
    by_path = await asyncio.start_unix_server(carry, tmp_path / "redis.sock")
    port = in_tls.sockets[0].getsockname()[1]
    urls = (f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}", f"unix://{tmp_path}/redis.sock")
    async with in_tls, by_path:
        for url in urls:
            async with subscribing_to(url) as subscriber:
                ear = Ear()
                await subscriber.subscribe("room", ear, within_seconds=SECONDS)
                await redis.publish("room", url)
                await until(lambda ear=ear, url=url: ear.payloads == [url.encode()])  # type: ignore[misc]
        async with subscribing_to(f"rediss://127.0.0.1:{port}/0") as subscriber:  # nobody vouches for it
            subscriber.listen("room", Ear())
            await until(lambda: subscriber.is_away)


async def test_a_replica_that_has_lost_its_master_is_away_until_it_serves_again(
    own_valkey: ValkeyServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It answers who asks whether it is there with an error, and nothing is published over it."""
    monkeypatch.setattr(subscribing, "PING_SECONDS", 0.05)
    await redis.config_set("replica-serve-stale-data", "no")
    async with subscribing_to(own_valkey.url) as subscriber:
        ear = Ear()
        await subscriber.subscribe("c", ear, within_seconds=SECONDS)
        await redis.replicaof("127.0.0.1", "1")
        await until(lambda: subscriber.is_away)
        await redis.replicaof("NO", "ONE")
        await until(lambda: not subscriber.is_away and ear.told == ["confirmed", "lost", "confirmed"])
        await redis.publish("c", "again")
        await until(lambda: ear.payloads == [b"again"])
    first, *others = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert first.getMessage() == "Redis is away: nothing is heard of it"
    assert "MASTERDOWN" in first.__dict__["why"]
    assert [other.levelno for other in others] == [logging.WARNING]
