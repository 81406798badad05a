"""Whatever goes wrong with a handshake, wherever, nothing of it is held afterwards."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import coroutine
from typing import Any

import pytest
from channels.layers import channel_layers, get_channel_layer
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from websockets.asyncio.server import Server, ServerConnection, serve

from config.testing.servers import ValkeyServer
from proxy import consumers, metrics, registry, rules
from proxy.consumers import GatewayConsumer
from proxy.core.errors import NotFound
from proxy.core.limits import MessageLimits, Rate
from proxy.core.principal import Principal
from proxy.core.routes import Forward, Resume, Route, Subject, Upstream
from proxy.core.verdicts import Verdict
from proxy.engine import shared_leases
from proxy.engine.dial import Dialler
from proxy.rules import StaffRules
from proxy.runtime import Runtime
from proxy.server.handshake import UpgradeRequest
from proxy.server.node import Node
from proxy.server.options import ServerOptions

WAYS = ("splice", "relay", "resume")
HEAD = [
    (b"host", b"localhost"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]


class World:
    """One gateway in this process: our server's node, a runtime with a hub and Redis, and a service."""

    def __init__(self, way: str, route: Route, runtime: Runtime, service: Server) -> None:
        self.way, self.route, self.runtime, self.service = way, route, runtime, service
        self.wrap: Callable[[Any], Awaitable[None]] = lambda running: running
        self.wrap_send: Callable[[Any], Any] = lambda send: send
        self.node = Node(self._application, ServerOptions(), loop=asyncio.get_running_loop())
        self.tasks: list[asyncio.Future[None]] = []

    def _application(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        scope |= {
            "request_id": "r",
            "client_address": "192.0.2.1",
            "principal": Principal(user_id="7"),
            "refusal": None,
            "query": {},
            "offered_subprotocols": (),
            "bearer_subprotocol": False,
            "url_route": {"kwargs": {}},
        }
        if self.way != "splice":
            del scope["extensions"]["sluicegate.splice"]
        running = self.wrap(GatewayConsumer(self.route)(scope, receive, self.wrap_send(send)))
        self.tasks.append(asyncio.ensure_future(running))
        return self.tasks[-1]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[socket.socket]:
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setblocking(False)
        self.node.take(theirs, UpgradeRequest(
            method="GET", target=b"/ws", http_version="1.1", headers=list(HEAD), client=None, server=None
        ))  # fmt: skip
        with ours:
            yield ours

    async def answer(self) -> tuple[int, bytes]:
        """The status of one handshake, and all that came before its socket was closed; 0 if nothing did."""
        heard = b""
        async with self.client() as client:
            loop = asyncio.get_running_loop()
            while more := await loop.sock_recv(client, 65536):
                heard += more
                if b"\r\n\r\n" in heard and b" 101 " in heard[:16]:
                    break
        return int(heard[9:12] or b"0"), heard

    async def is_empty(self, redis: Redis) -> bool:
        layer: Any = get_channel_layer()
        (member,) = self.runtime.pool(self.route).all_members()
        labels = {"route": "tried", "backend": metrics_backend(self)}
        live = REGISTRY.get_sample_value(metrics.CONNECTIONS_INNER_NAME, labels)
        gates = self.runtime.gates(self.route)
        return (
            not self.node.legs
            and not self.runtime.links
            and not self.runtime.admission.live()
            and member.links == 0
            and not live
            and gates is not None
            and gates.is_empty
            and len(layer.groups) == 1  # the node's own
            and not self.service.connections
            and not [key async for key in redis.scan_iter("gateway:lease:*") if b":user:" in key]
        )


def metrics_backend(world: World) -> str:
    return world.route.upstream.members[0]


async def quiet_service(connection: ServerConnection) -> None:
    await connection.wait_closed()


@pytest.fixture
async def redis(valkey: ValkeyServer, settings: Any) -> AsyncIterator[Redis]:
    settings.REDIS_URL = valkey.url
    settings.REDIS_HOST = {**settings.REDIS_HOST, "address": valkey.url}
    settings.WEBSOCKET_ENABLED = True
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture(params=WAYS)
async def world(
    request: pytest.FixtureRequest, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async with serve(quiet_service, "127.0.0.1", 0, compression=None) as service:
        port = next(iter(service.sockets)).getsockname()[1]
        route = Route(
            name="tried",
            paths=("ws",),
            upstream=Upstream.of("tried", f"ws://127.0.0.1:{port}", path="/ws"),
            topics=lambda subject: (f"session:{subject.connection_id}",),
            resume=Resume.RECONNECT if request.param == "resume" else Resume.CLOSE,
            message_limits=MessageLimits(messages_per_user=Rate(1000, 1)),
        )
        monkeypatch.setattr(registry, "routes", lambda: (route,))
        channel_layers.backends.clear()
        runtime = Runtime()
        monkeypatch.setattr(runtime.rules, "ready", _at_once)  # there is no database

        async def running() -> Runtime:
            return runtime

        monkeypatch.setattr(consumers, "running_runtime", running)
        runtime.background.start("hub", runtime.hub.run)
        assert runtime.admission.shared is not None
        runtime.background.start("leases", runtime.admission.shared.run)
        async with asyncio.timeout(5):
            while not (runtime.hub.connected and runtime.admission.shared.connected):
                await asyncio.sleep(0.01)
        yield World(request.param, route, runtime, service)
        await runtime.background.stop()
        await runtime.admission.shared.leave()
        script: Any = runtime.admission.shared._run_script
        await script.close()


async def _at_once() -> None:
    await asyncio.sleep(0)


async def settle(world: World, redis: Redis) -> None:
    async with asyncio.timeout(10):
        if world.tasks:
            await asyncio.wait(world.tasks)
        while not await world.is_empty(redis):
            await asyncio.sleep(0.01)
    world.tasks.clear()


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
        await StaffRules.ready(world.runtime.rules)

    monkeypatch.setattr(world.runtime.rules, "ready", ready)
    return lambda: bool(waiting)


def waits_for_redis(
    world: World, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], bool]:
    """Redis is frozen when it is asked to admit."""
    monkeypatch.setattr(shared_leases, "CALL_SECONDS", 60)
    shared: Any = world.runtime.admission.shared
    admit, asked = shared.admit, asyncio.Event()

    async def tells(lease: Any) -> Any:
        asked.set()
        return await admit(lease)

    monkeypatch.setattr(shared, "admit", tells)
    assert valkey.program is not None
    valkey.program.send_signal(signal.SIGSTOP)
    return asked.is_set


def waits_for_a_turn(world: World, _: ValkeyServer, __: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Others dial, as many as may."""
    pool: Any = world.runtime.pool(world.route)
    pool._dialler = Dialler(max_concurrent=1, queue_seconds=60)
    pool._dialler._turns._value = 0
    return lambda: bool(pool._dialler._turns._waiters)


def waits_for_topics(world: World, _: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """The channel layer takes its time over the link's groups."""
    asked = asyncio.Event()

    async def group_add(*_: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(world.runtime.hub, "_call_seconds", 60)
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
        async with asyncio.timeout(10):
            async with world.client():
                while not is_waiting():
                    await asyncio.sleep(0)
            await asyncio.wait(world.tasks)
    finally:
        valkey.ensure_running()
    assert REGISTRY.get_sample_value("gateway_websocket_connections_total", labels) == before + 1
    await settle(world, redis)
    assert world.runtime.recorder.queue_length == 0


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


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_accept_that_fails_leaves_nothing(world: World, redis: Redis, moment: str) -> None:
    def fail_around(send: Any) -> Any:
        async def failing(message: dict[str, Any]) -> None:
            if message["type"] != "websocket.accept" or moment == "after":
                await send(message)
            if message["type"] == "websocket.accept":
                raise ConnectionError

        return failing

    world.wrap_send = fail_around
    status, _ = await world.answer()
    assert status == (500 if moment == "before" else 101)
    await settle(world, redis)


def raises(error: Exception) -> Callable[..., Any]:
    def hook(*_: Any) -> Any:
        raise error

    return hook


class BrokenForward(Forward):
    def query_string(self, subject: Subject) -> str:
        raise RuntimeError("a product's mistake")


HOOKS: dict[str, dict[str, Any]] = {
    "topics": {"topics": raises(RuntimeError("a product's mistake"))},
    "forward": {"forward": BrokenForward()},
}


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_hook_that_raises_is_named_and_answered_with_500(
    world: World, redis: Redis, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.route = replace(world.route, **HOOKS[hook])
    with caplog.at_level(logging.ERROR):
        status, body = await world.answer()
    assert status == 500
    assert b"mistake" not in body
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == [hook]
    await settle(world, redis)


@pytest.mark.parametrize(
    ("topics", "status"),
    [
        (raises(NotFound("no such game")), 404),
        (lambda _: ("no topic",), 500),
        (lambda _: (None,), 500),
        (lambda _: None, 500),
    ],
)
async def test_topics_that_are_none_are_refused_with_the_errors_own_status(
    world: World, redis: Redis, topics: Any, status: int
) -> None:
    world.route = replace(world.route, topics=topics)
    assert (await world.answer())[0] == status
    await settle(world, redis)


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("a product's mistake"), 1011), (NotFound("no such game"), 1008)]
)
async def test_a_policy_that_raises_ends_its_link_with_the_errors_own_close(
    world: World, redis: Redis, error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    inspect: Callable[..., Verdict] = raises(error)
    world.route = replace(world.route, inspect=inspect)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10), world.client() as client:
        heard = await loop.sock_recv(client, 65536)
        await loop.sock_sendall(client, b"\x81\x82\0\0\0\0hi")
        while len(heard.partition(b"\r\n\r\n")[2]) < 4:
            heard += await loop.sock_recv(client, 65536)
    frame = heard.partition(b"\r\n\r\n")[2]
    assert frame[0] == 0x88
    assert int.from_bytes(frame[2:4], "big") == code
    await settle(world, redis)
    hooks = [record.hook for record in caplog.records if hasattr(record, "hook")]
    assert hooks == (["inspect"] if code == 1011 else [])
