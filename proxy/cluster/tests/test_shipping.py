"""What is published in a transaction: written with it, shipped after it, by one node at a time, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from django.db import Error, transaction
from pytest_django import DjangoDbBlocker
from redis.asyncio import Redis

from config.testing.migrated import copied_to
from config.testing.servers import PostgresServer, ValkeyServer
from proxy import metrics
from proxy.cluster import shipping
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.publishing import publish_on_commit
from proxy.cluster.questions import LayerAway
from proxy.cluster.redis_store import NUDGE_SECONDS
from proxy.cluster.shipments import Shipment
from proxy.cluster.shipping import Shipper
from proxy.cluster.signals import EVENT
from proxy.cluster.tests.hearing import DEADLINE_SECONDS, Heard, hear_events, until
from proxy.conftest import default_database
from proxy.core.history import History
from proxy.core.topics import node_topic
from proxy.engine.hub import Hub
from proxy.models import WaitingEvent
from proxy.tables import waiting_events
from proxy.tables.executor import DatabaseExecutor
from proxy.tests.counting import counted

SETTLE_SECONDS = 1.5


def numbered(number: int) -> dict[str, Any]:
    return {"type": "event", "number": number}


def publish_each(numbers: Iterator[int] | range) -> None:
    for number in numbers:
        publish_on_commit("user:1", numbered(number))


def shipment(text: str) -> Shipment:
    return Shipment("gateway.user.1", {"type": EVENT, "topic": "user:1", "text": text}, key=text)


class Node:
    """The part of a node that ships, and hears what was, on a layer of its own."""

    def __init__(self, layer: Any, name: str) -> None:
        self.layer, self.name, self.database = layer, name, DatabaseExecutor()
        self.hub = Hub(layer, own_topic=node_topic(name), echo_seconds=0.2, silence_seconds=1)
        hear_events(self.hub)
        self.shipper = Shipper(
            layer.store, self.database, node_id=name, look_seconds=0.05, settle_seconds=SETTLE_SECONDS
        )
        self.shipper.listen(self.hub)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hub.run())
            tasks.create_task(self.shipper.run())


StartNode = Callable[..., Awaitable[Node]]


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """One node at a time ships: no other installation's may be here."""
    return own_valkey


@pytest.fixture
def make_layer(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes the channel layer of a process; this one, which publishes, has its own."""

    def make() -> GatewayChannelLayer:
        return GatewayChannelLayer(hosts=[{"address": valkey.url, "socket_timeout": 1}], prefix="gateway")

    ours = make()
    monkeypatch.setattr(shipping, "get_channel_layer", lambda: ours)
    return make


@pytest.fixture
async def start_node(make_layer: Callable[[], Any]) -> AsyncIterator[StartNode]:
    async with AsyncExitStack() as stack:

        async def start(name: str, layer: Any = None) -> Node:
            node = Node(layer or make_layer(), name)
            running = asyncio.ensure_future(node.run())

            async def end() -> None:
                running.cancel()
                await asyncio.wait([running])
                await node.database.close()

            stack.push_async_callback(end)
            await until(lambda: node.hub.connected)
            return node

        yield start


@pytest.fixture
async def hearing(make_layer: Callable[[], Any], heard: Heard) -> AsyncIterator[Node]:
    """A node that ships nothing, with a link, a, of user 1."""
    node = Node(make_layer(), "hears")
    running = asyncio.create_task(node.hub.run())
    await until(lambda: node.hub.connected)
    await node.hub.join(heard.ear("a"), ["user:1"])
    yield node
    running.cancel()
    await asyncio.wait([running])
    await node.database.close()


@pytest.fixture(params=["sqlite", "postgresql"], autouse=True)
def database_of_all(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Many threads write: SQLite is in a file, as anywhere but in tests."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres_database")
        yield
        return
    url = f"sqlite:///{tmp_path / 'gateway.sqlite3'}"
    assert copied_to(url, settings="config.settings")
    with django_db_blocker.unblock(), default_database(url):
        yield


@pytest.fixture
async def database(database_of_all: None) -> AsyncIterator[DatabaseExecutor]:
    """Where this process publishes, many at a time, however slow the machine is."""
    executor = DatabaseExecutor(timeout_seconds=DEADLINE_SECONDS)
    yield executor
    await executor.close()


def heard_numbers(heard: Heard, ear: str = "a") -> list[int]:
    return [json.loads(text)["number"] for name, text in heard.messages if name == ear]


async def none_waits(database: DatabaseExecutor) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await database.run(WaitingEvent.objects.count):
            await asyncio.sleep(0.02)


def in_a_transaction(numbers: range, *, rolled_back: bool = False) -> None:
    with transaction.atomic():
        publish_each(numbers)
        transaction.set_rollback(rolled_back)


async def test_events_leave_after_the_commit_in_order_and_never_when_rolled_back(
    start_node: StartNode, heard: Heard, database: DatabaseExecutor
) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    await database.run(in_a_transaction, range(1000, 1500), rolled_back=True)
    for first in range(0, 500, 100):
        await database.run(in_a_transaction, range(first, first + 100))
    await none_waits(database)
    await until(lambda: len(heard.messages) >= 500)
    assert heard_numbers(heard) == list(range(500))


async def test_in_memory_they_leave_as_well(
    start_node: StartNode, heard: Heard, database: DatabaseExecutor
) -> None:
    node = await start_node("1", MemoryChannelLayer(capacity=10_000))
    await node.hub.join(heard.ear("a"), ["user:1"])
    await database.run(in_a_transaction, range(300))
    await until(lambda: len(heard.messages) >= 300)
    assert heard_numbers(heard) == list(range(300))


def watch(node: Node, monkeypatch: pytest.MonkeyPatch, *, shipped: Callable[[], object]) -> None:
    """Have `shipped` called each time that Redis has taken something of that node."""
    ship = node.layer.store.ship

    async def watched(shipments: Sequence[Shipment], *, who: str) -> bool:
        took: bool = await ship(shipments, who=who)
        if took:
            shipped()
        return took

    monkeypatch.setattr(node.layer.store, "ship", watched)


async def test_two_nodes_share_the_work_one_at_a_time_and_the_next_goes_on(
    start_node: StartNode, heard: Heard, database: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start_node("1"), await start_node("2")
    shipped: list[str] = []
    for node, ear in ((one, "a"), (two, "b")):
        await node.hub.join(heard.ear(ear), ["user:1"])
        watch(node, monkeypatch, shipped=partial(shipped.append, node.name))
    for first, node, other in ((0, one, two), (100, two, one), (200, one, two)):
        publishing = asyncio.create_task(database.run(publish_each, range(first, first + 100)))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await node.layer.store.take_turn(
                node.name
            ):  # the other loses it in the middle of the work
                await other.layer.store.end_turn(other.name)
        await publishing
        await none_waits(database)
    await until(lambda: len(heard.messages) >= 600)
    assert heard_numbers(heard, "a") == heard_numbers(heard, "b") == list(range(300))
    assert len(list(groupby(shipped))) >= 3


async def test_a_gap_stops_what_is_being_shipped_until_others_may_hear_again(
    start_node: StartNode, heard: Heard, database: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "MOST_ROWS", 1)
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    times: list[float] = []

    def shipped() -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 3:
            node.hub._back()  # as after a loss

    watch(node, monkeypatch, shipped=shipped)
    await database.run(in_a_transaction, range(10))
    await none_waits(database)
    assert heard_numbers(heard) == list(range(10))
    assert times[3] - times[2] >= SETTLE_SECONDS


async def test_whose_turn_is_over_ships_nothing_of_what_it_had_read(
    hearing: Node, make_layer: Callable[[], Any], heard: Heard
) -> None:
    frozen, other = make_layer().store, make_layer().store
    assert await frozen.take_turn("frozen")
    assert await frozen.take_turn("frozen")
    assert not await other.take_turn("other")
    await frozen.end_turn("frozen")
    assert await other.take_turn("other")
    await frozen.end_turn("frozen")  # it is not its own any more
    assert not await frozen.ship([shipment("stale")], who="frozen")
    assert await other.ship([shipment("fresh")], who="other")
    await until(lambda: bool(heard.messages))
    assert heard.messages == [("a", "fresh")]


async def test_what_was_shipped_and_not_deleted_is_not_shipped_again(
    hearing: Node, start_node: StartNode, heard: Heard, database: DatabaseExecutor
) -> None:
    """As after a crash between the two, or an answer of Redis that was lost. One row came late meanwhile."""
    await database.run(publish_each, range(5))
    rows = await database.run(waiting_events.forget_and_load, (), most_rows=5, most_bytes=1000)
    assert await hearing.layer.store.take_turn("killed")
    assert await hearing.layer.store.ship([shipping._shipment(row) for row in rows], who="killed")
    late = {"id": rows[0].id - 1, "topic": "user:1", "text": json.dumps(numbered(99)), "size_bytes": 30}
    await database.run(WaitingEvent.objects.create, **late)
    await hearing.layer.store.end_turn("killed")
    await start_node("next")
    await none_waits(database)
    await database.run(publish_each, range(5, 7))
    await none_waits(database)
    await until(lambda: len(heard.messages) >= 8)
    assert heard_numbers(heard) == [0, 1, 2, 3, 4, 99, 5, 6]


async def test_what_went_out_before_one_that_redis_refuses_goes_out_once_however_often_it_is_tried(
    hearing: Node, heard: Heard, valkey: ValkeyServer
) -> None:
    first, other, refused, behind = (shipment(json.dumps(numbered(number))) for number in range(4))
    refused = replace(refused, history=History(events=10, seconds=600))
    key = "gateway:history:gateway.user.1"
    async with Redis.from_url(valkey.url) as redis:
        await redis.set(key, "somebody else's")
        store = hearing.layer.store
        assert await store.take_turn("1")
        for shipments in ((first, refused), (first, other, refused, behind), (first, other, refused, behind)):
            with pytest.raises(LayerAway, match=f"WRONGTYPE.*{key}"):
                await store.ship(shipments, who="1")
        await redis.delete(key)
        assert await store.ship((first, other, refused, behind), who="1")
        assert await redis.xlen(key) == 1
    await until(lambda: 3 in heard_numbers(heard))
    assert heard_numbers(heard) == [0, 1, 2, 3]


async def test_while_redis_is_away_they_wait_and_then_reach_every_node(
    start_node: StartNode, heard: Heard, database: DatabaseExecutor, valkey: ValkeyServer
) -> None:
    nodes = [await start_node("1"), await start_node("2")]
    for node, name in zip(nodes, "ab", strict=True):
        await node.hub.join(heard.ear(name), ["user:1"])
    await database.run(publish_each, range(50))
    await until(lambda: len(heard.messages) == 100)
    valkey.kill()
    await database.run(publish_each, range(50, 100))
    await until(lambda: not any(node.hub.connected for node in nodes))
    valkey.start()
    await database.run(publish_each, range(100, 150))
    await none_waits(database)
    await until(lambda: len(heard.messages) >= 300)
    assert heard_numbers(heard, "a") == heard_numbers(heard, "b") == list(range(150))


@pytest.mark.parametrize("database_of_all", ["postgresql"], indirect=True)
async def test_a_node_whose_database_is_away_leaves_the_turn_and_goes_on_when_it_is_back(
    start_node: StartNode,
    make_layer: Callable[[], Any],
    heard: Heard,
    database: DatabaseExecutor,
    postgres: PostgresServer,
) -> None:
    node, other = await start_node("1"), make_layer().store
    await node.hub.join(heard.ear("a"), ["user:1"])
    await database.run(publish_each, range(5))
    await until(lambda: len(heard.messages) == 5)
    assert not await other.take_turn("2")
    postgres.kill()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await other.take_turn("2"):
            await asyncio.sleep(0.01)
    await other.end_turn("2")
    postgres.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await published(database, range(5, 10)):
            await asyncio.sleep(0.1)
    await until(lambda: len(heard.messages) >= 10)
    assert heard_numbers(heard) == list(range(10))


async def published(database: DatabaseExecutor, numbers: range) -> bool:
    """Whether a database that comes back has taken them."""
    try:
        await database.run(in_a_transaction, numbers)
    except (Error, TimeoutError):
        return False
    return True


async def test_a_frozen_redis_holds_up_nobody_who_publishes(
    start_node: StartNode, heard: Heard, database: DatabaseExecutor, valkey: ValkeyServer
) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    await until(lambda: node.hub.connected)
    valkey.freeze()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await database.run(publish_each, range(50))
        took_seconds = loop.time() - began
    finally:
        valkey.ensure_running()
    await until(lambda: len(heard.messages) >= 50)
    assert heard_numbers(heard) == list(range(50))
    assert took_seconds < 50 * NUDGE_SECONDS  # one nudge waits so long


async def test_what_waits_too_long_is_given_up(
    make_layer: Callable[[], Any], database: DatabaseExecutor
) -> None:
    await database.run(publish_each, range(3))
    assert (await database.run(waiting_events.waiting)).rows == 3
    assert await database.run(waiting_events.expire, 3600) == 0
    assert await database.run(waiting_events.expire, 0) == 3
    assert await database.run(waiting_events.waiting) == waiting_events.Waiting(0, 0.0)


async def test_what_nobody_ships_is_told_once(
    database: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shipping, "_TEND_SECONDS", 0.01)
    tending = asyncio.create_task(shipping.tend_forever(database, wait_seconds=3600))
    await database.run(publish_each, range(3))
    await until(lambda: counted(metrics.EVENTS_WAITING) == 3)
    assert "events wait long" not in caplog.text
    monkeypatch.setattr(shipping, "LATE_SECONDS", 0.0)
    await until(lambda: "events wait long to be shipped" in caplog.text)
    seconds = counted(metrics.EVENTS_WAITING_SECONDS)
    await until(lambda: counted(metrics.EVENTS_WAITING_SECONDS) > seconds)
    tending.cancel()
    await asyncio.wait([tending])
    assert caplog.text.count("events wait long to be shipped") == 1
