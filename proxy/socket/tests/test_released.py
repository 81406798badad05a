"""A handshake that is given up, wherever it waits, holds nothing afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import coroutine
from typing import Any

import pytest
from channels.layers import get_channel_layer
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy import metrics
from proxy.cluster import rules
from proxy.cluster.rules import StaffRules
from proxy.engine.admission import shared_caps
from proxy.tests.counting import counted
from proxy.tests.world import World, settle

pytestmark = pytest.mark.long


@coroutine
def cancelled_at(step: int, running: Any, reached: list[int]) -> Iterator[Any]:
    """`running`, whose task is cancelled at the `step`th time that it waits; `reached` notes all of them."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            waits_for = running.send(value) if error is None else running.throw(error)
        except StopIteration:
            return
        reached[0] += 1
        if reached[0] == step:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        value = error = None
        try:
            value = yield waits_for
        except BaseException as thrown:  # noqa: BLE001  it goes on inside
            error = thrown


@pytest.mark.timeout(120)
async def test_a_handshake_cancelled_at_any_await_leaves_nothing(world: World, redis: Redis) -> None:
    world.query = {"since": ""}
    for step in range(1, 100):
        reached = [0]
        world.wrap = lambda running, step=step, reached=reached: cancelled_at(step, running, reached)  # type: ignore[misc]
        status, _ = await world.answer()
        await settle(world, redis)
        if reached[0] < step:
            break
        assert step == 1 or status in {0, 101, 500}
    assert step > (5 if world.way == "splice" else 2)  # a relay connects in a task of its own
    assert status == 101


@pytest.mark.timeout(120)
async def test_a_handshake_cancelled_in_any_turn_of_the_loop_leaves_nothing(
    world: World, redis: Redis
) -> None:
    for turns in range(60):
        async with world.client():
            while not world.tasks:
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            world.tasks[0].cancel()
        await settle(world, redis)


@pytest.mark.timeout(120)
async def test_a_client_that_leaves_in_any_turn_of_the_loop_leaves_nothing(
    world: World, redis: Redis
) -> None:
    for turns in range(60):
        async with world.client():
            for _ in range(turns):
                await asyncio.sleep(0)
        await settle(world, redis)


def waits_for_rules(world: World, _: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """The database does not answer the first look."""
    monkeypatch.setattr(rules, "FIRST_LOOK_SECONDS", 60)
    waiting: list[None] = []

    async def ready() -> None:
        waiting.append(None)
        await StaffRules.ready(world.node.rules)

    monkeypatch.setattr(world.node.rules, "ready", ready)
    return lambda: bool(waiting)


def waits_for_redis(
    world: World, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], bool]:
    """Redis is frozen when it is asked to admit."""
    monkeypatch.setattr(shared_caps, "CALL_SECONDS", 60)
    shared: Any = world.node.admission.shared
    admit, asked = shared.admit, asyncio.Event()

    async def tells(lease: Any) -> Any:
        asked.set()
        return await admit(lease)

    monkeypatch.setattr(shared, "admit", tells)
    valkey.freeze()
    return asked.is_set


def waits_for_a_turn(world: World, _: ValkeyServer, __: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Others dial, as many as may."""
    pool: Any = world.node.served["tried"].pool
    pool.dial_seconds, pool._turns = 60, asyncio.Semaphore(0)
    return lambda: bool(pool._turns._waiters)


def waits_for_topics(world: World, _: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """The channel layer takes its time over the link's groups."""
    asked = asyncio.Event()

    async def group_add(*_: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(world.node.hub, "_call_seconds", 60)
    monkeypatch.setattr(get_channel_layer(), "group_add", group_add)
    return asked.is_set


STEPS = [waits_for_rules, waits_for_redis, waits_for_a_turn, waits_for_topics]


@pytest.mark.parametrize("step", STEPS)
async def test_a_client_that_leaves_while_it_waits_for_whatever_is_noticed_and_leaves_nothing(
    world: World, redis: Redis, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    labels = {"route": "tried", "outcome": "client_left"}
    before = REGISTRY.get_sample_value("gateway_websocket_connections_total", labels) or 0
    is_waiting = step(world, valkey, monkeypatch)
    try:
        async with asyncio.timeout(30):
            async with world.client():
                while not is_waiting():
                    await asyncio.sleep(0)
            await asyncio.wait(world.tasks)
    finally:
        valkey.ensure_running()
    assert REGISTRY.get_sample_value("gateway_websocket_connections_total", labels) == before + 1
    await settle(world, redis)
    assert world.node.recorder.queue_length == 0


async def test_a_client_that_is_refused_for_its_impatience_keeps_no_turn_to_dial(
    world: World, redis: Redis, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_waiting = waits_for_a_turn(world, valkey, monkeypatch)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10), world.client() as client:
        while not is_waiting():
            await asyncio.sleep(0)
        await loop.sock_sendall(client, bytes(5000))
        assert (await loop.sock_recv(client, 65536)).startswith(b"HTTP/1.1 400")
        await asyncio.wait(world.tasks)
    await settle(world, redis)


@pytest.mark.parametrize("moment", ["opening", "live"])
@pytest.mark.parametrize("step", ["gate", "topics", "seat", "record"])
async def test_a_step_of_an_end_that_fails_keeps_back_nothing_of_what_the_others_give_back(
    world: World,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
    moment: str,
) -> None:
    node: Any = world.node
    owner, name = {
        "gate": (node.served["tried"].gates, "close"),
        "topics": (node.hub, "leave"),
        "seat": (node.admission, "release"),
        "record": (node.recorder, "note"),
    }[step]
    works = getattr(owner, name)

    def works_and_fails(*args: Any) -> None:
        works(*args)
        if step != "record" or args[0].closed_at is not None:
            raise RuntimeError("a fault that nobody foresaw")

    async def cancelled(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(owner, name, works_and_fails)
    if moment == "opening":
        monkeypatch.setattr(node.hub, "join", cancelled)
    before = counted(metrics.ERRORS_TOTAL, "end_failed", "none")
    assert (await world.answer())[0] == (101 if moment == "live" else 500)
    await settle(world, redis)
    failed = [record for record in caplog.records if record.message == "a step of a link's end failed"]
    is_due = moment == "live" or step in {"topics", "seat"}  # the others are not there yet
    assert [vars(record)["route"] for record in failed] == ["tried"] * is_due
    assert counted(metrics.ERRORS_TOTAL, "end_failed", "none") - before == is_due


async def test_what_a_link_holds_in_redis_is_compact_there(world: World, redis: Redis) -> None:
    async with world.client() as client:
        assert b" 101 " in await asyncio.get_running_loop().sock_recv(client, 65536)
        keys = [key async for key in redis.scan_iter("gateway:lease:*:*")]
        kinds = {key.decode().split(":")[2] for key in keys if await redis.type(key) == b"zset"}
        assert {"address", "user"} <= kinds
        for key in keys:
            assert await redis.object("encoding", key) in {b"listpack", b"int", b"embstr"}, key
    await settle(world, redis)
