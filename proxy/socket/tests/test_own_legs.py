"""A route with a leg of its own for each link: who opens it, what crosses it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from websockets.frames import Frame, Opcode

from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import Forbidden, GatewayError, LegClosed
from proxy.core.legs import Leg
from proxy.core.limits import LinkBounds
from proxy.core.routes import LegPerLink, Resume, Subject
from proxy.tests.world import World, settle

LIVE: set[SessionLeg] = set()


class SessionLeg(Leg):
    """A session in a real Redis: what is published to its `down` goes to the client, the rest to `up`."""

    def __init__(self, redis: Redis, session: str, heard: PubSub) -> None:
        self.redis, self.session, self.heard = redis, session, heard
        LIVE.add(self)

    async def receive(self) -> str:
        while True:
            message = await self.heard.get_message(ignore_subscribe_messages=True, timeout=None)
            if message is not None and message["data"] == b"over":
                raise LegClosed(Close(4321, "session over"), by=ClosedBy.UPSTREAM)
            if message is not None:
                return str(message["data"].decode())

    async def send(self, message: str | bytes) -> None:
        await self.redis.publish(f"session:{self.session}:up", message)

    async def close(self, close: Close) -> None:
        await self.redis.publish(f"session:{self.session}:up", f"closed {close.code}")

    def abort(self) -> None:
        LIVE.discard(self)


@pytest.fixture
async def sessions(world: World, redis: Redis) -> AsyncIterator[None]:
    """The world's route leads to sessions, from now on."""
    pubsubs: list[PubSub] = []

    async def open_session(subject: Subject) -> Leg:
        if subject.principal.user_id != "7":
            raise Forbidden
        pubsubs.append(redis.pubsub())
        await pubsubs[-1].subscribe(f"session:{subject.params['session']}:down")
        return SessionLeg(redis, subject.params["session"], pubsubs[-1])

    upstream = LegPerLink(name="sessions", open=open_session)
    world.route = replace(
        world.route, upstream=upstream, resume=Resume.CLOSE, bounds=LinkBounds(max_message_bytes=2000)
    )
    yield
    for pubsub in pubsubs:
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def read(client: Any, heard: bytes = b"") -> tuple[int, bytes, bytes]:
    """The next frame's first byte and payload (of up to 125 bytes), and what came behind it."""
    loop = asyncio.get_running_loop()
    while len(heard) < 2 or len(heard) < 2 + heard[1]:
        heard += await loop.sock_recv(client, 65536)
    end = 2 + heard[1]
    return heard[0], heard[2:end], heard[end:]


async def accepted(client: Any) -> bytes:
    """What follows the 101."""
    loop, heard = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in heard:
        heard += await loop.sock_recv(client, 65536)
    assert b" 101 " in heard[:16]
    return heard.partition(b"\r\n\r\n")[2]


def frame(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


@pytest.mark.usefixtures("sessions")
async def test_messages_cross_both_ways_and_the_record_names_what_is_behind(
    world: World, redis: Redis
) -> None:
    loop, up = asyncio.get_running_loop(), redis.pubsub()
    await up.subscribe("session:s1:up")
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        await redis.publish("session:s1:down", "from the agent")
        assert (await read(client, rest))[:2] == (0x81, b"from the agent")
        await loop.sock_sendall(client, frame(Opcode.TEXT, b"from the viewer"))
        while (said := await up.get_message(ignore_subscribe_messages=True, timeout=1)) is None:
            pass
        assert said["data"] == b"from the viewer"
        (link,) = world.node.links.values()
        assert (link.record.route, link.record.upstream) == ("tried", "sessions")
        await redis.publish("session:s1:down", "over")
        first, payload, _ = await read(client)
        assert (first, payload) == (0x88, (4321).to_bytes(2, "big") + b"session over")
    await settle(world, redis)
    assert not LIVE
    await up.aclose()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("sessions")
async def test_a_message_over_the_routes_own_bound_ends_the_link_and_tells_the_leg(
    world: World, redis: Redis
) -> None:
    loop, up = asyncio.get_running_loop(), redis.pubsub()
    await up.subscribe("session:s1:up")
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        await loop.sock_sendall(client, frame(Opcode.TEXT, b"x" * 2000) + frame(Opcode.TEXT, b"x" * 2001))
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, (1009).to_bytes(2, "big"))
        said: list[bytes] = []
        while len(said) < 2:
            message = await up.get_message(ignore_subscribe_messages=True, timeout=1)
            said += [] if message is None else [message["data"]]
        assert said == [b"x" * 2000, b"closed 1009"]
    await settle(world, redis)
    assert not LIVE
    await up.aclose()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize("world", ["splice"], indirect=True)
async def test_a_route_may_take_more_than_the_server_would_by_itself(world: World, redis: Redis) -> None:
    bytes_ = 3 << 19
    assert world.clients.options.limits.max_message_bytes < bytes_
    world.route = replace(world.route, bounds=LinkBounds(max_message_bytes=bytes_, idle_timeout_seconds=0.5))
    loop, up = asyncio.get_running_loop(), redis.pubsub()
    await up.subscribe("session:s1:up")
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        await loop.sock_sendall(client, frame(Opcode.TEXT, b"x" * bytes_))
        while (said := await up.get_message(ignore_subscribe_messages=True, timeout=1)) is None:
            pass
        assert len(said["data"]) == bytes_
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, (4008).to_bytes(2, "big"))
    await settle(world, redis)
    await up.aclose()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("sessions")
async def test_a_client_that_leaves_in_any_turn_of_the_loop_leaves_no_leg_behind(
    world: World, redis: Redis
) -> None:
    for turns in range(40):
        async with world.client():
            for _ in range(turns):
                await asyncio.sleep(0)
        await settle(world, redis)
        assert not LIVE


@pytest.mark.parametrize(
    ("error", "status"), [(Forbidden(), 403), (ConnectionError("Redis is away"), 500), (None, 504)]
)
async def test_a_leg_that_cannot_be_opened_refuses_the_handshake(
    world: World, redis: Redis, error: Exception | None, status: int
) -> None:
    async def fail(_: Subject) -> Leg:
        if error is not None:
            raise error
        await asyncio.Event().wait()
        raise AssertionError

    world.route = replace(world.route, upstream=LegPerLink(name="sessions", open=fail), resume=Resume.CLOSE)
    served = world.node.served["tried"]
    world.node.served["tried"] = replace(served, limits=replace(served.limits, dial_timeout_seconds=0.1))
    assert (await world.answer())[0] == status
    await settle(world, redis)


class Quiet(Leg):
    """Has nothing to say, and says no more of itself than it must."""

    async def receive(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: str | bytes) -> None:
        raise AssertionError


class FailsToChoose(Quiet):
    @property
    def subprotocol(self) -> str | None:
        raise RuntimeError("a product's mistake")


class Chooses(Quiet):
    """One of sub-protocols that nobody offered."""

    def __init__(self, subprotocol: Any) -> None:
        self.chosen = subprotocol

    @property
    def subprotocol(self) -> str | None:
        return self.chosen  # type: ignore[no-any-return]

    def abort(self) -> None:
        LIVE.discard(self)


class FailsToAbort(Quiet):
    def abort(self) -> None:
        raise RuntimeError("a product's mistake")


class FailsToMeasure(Quiet):
    @property
    def unsent_bytes(self) -> int:
        raise RuntimeError("a product's mistake")


class RefusesSomehow(Quiet):
    async def receive(self) -> str:
        error = GatewayError("a product's mistake")
        error.close = "no close"  # type: ignore[assignment]
        raise error


class ClosedSomehow(Quiet):
    async def receive(self) -> str:
        raise LegClosed(Close(4321, None), by=ClosedBy.UPSTREAM)  # type: ignore[arg-type]


class Odd(BaseException):
    """What no `except Exception` catches."""


class Fails(Quiet):
    """Raises the failure at `hook`."""

    def __init__(self, hook: str, failure: BaseException) -> None:
        self._hook, self._failure = hook, failure

    async def receive(self) -> str:
        self._fail("receive")
        return await super().receive()

    async def send(self, message: str | bytes) -> None:
        self._fail("send")

    async def close(self, close: Close) -> None:
        self._fail("close")

    def _fail(self, hook: str) -> None:
        if hook == self._hook:
            raise self._failure


class Mute(Leg):
    async def receive(self) -> str:
        raise AssertionError


class FailsToReceive(Quiet):
    async def receive(self) -> str:
        raise TimeoutError("a product's mistake")  # its own, and no slow client


class ReceivesNothing(Quiet):
    async def receive(self) -> str:
        return None  # type: ignore[return-value]


class FailsToSend(Quiet):
    async def send(self, message: str | bytes) -> None:
        raise ConnectionError("a product's mistake")


def leads_to(world: World, leg: Any) -> None:
    async def open_leg(_: Subject) -> Any:
        return leg

    world.route = replace(
        world.route, upstream=LegPerLink(name="sessions", open=open_leg), resume=Resume.CLOSE
    )


def hooks_named(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.hook for record in caplog.records if hasattr(record, "hook")]


@pytest.mark.parametrize(
    ("leg", "hook"),
    [
        (None, "open"),
        (object(), "open"),
        (Quiet, "open"),  # the class, where one is asked for
        (Mute(), "open"),  # type: ignore[abstract]
        (FailsToChoose(), "subprotocol"),
        (Chooses("nobody's"), "subprotocol"),
        (Chooses(5), "subprotocol"),
    ],
)
async def test_what_is_no_leg_or_fails_as_one_refuses_the_handshake_and_leaves_nothing(
    world: World, redis: Redis, leg: Any, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    leads_to(world, leg)
    if isinstance(leg, Chooses):
        LIVE.add(leg)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        assert (await world.answer())[0] == 500
    assert hooks_named(caplog) == [hook]
    assert "link opened" not in caplog.messages
    await settle(world, redis)
    assert not LIVE


@pytest.mark.parametrize(
    ("leg", "hook"),
    [
        (FailsToReceive(), "receive"),
        (ReceivesNothing(), "receive"),
        (FailsToSend(), "send"),
        (Fails("receive", asyncio.CancelledError()), "receive"),
        (Fails("receive", Odd()), "receive"),
        (Fails("send", asyncio.CancelledError()), "send"),
        (Fails("send", TimeoutError()), "send"),
    ],
)
async def test_a_leg_that_fails_ends_its_link_and_is_named_with_it(
    world: World, redis: Redis, leg: Leg, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    leads_to(world, leg)
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        await asyncio.get_running_loop().sock_sendall(client, frame(Opcode.TEXT, b"a"))
        first, payload, _ = await read(client, rest)
        assert (first, payload) == (0x88, (1011).to_bytes(2, "big") + b"internal error")
    await settle(world, redis)
    (failed,) = [vars(record) for record in caplog.records if hasattr(record, "hook")]
    assert (failed["hook"], failed["route"], failed["user_id"]) == (hook, "tried", "7")


@pytest.mark.usefixtures("sessions")
async def test_a_message_of_the_leg_over_the_routes_bound_ends_the_link(world: World, redis: Redis) -> None:
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        await redis.publish("session:s1:down", "x" * 2001)
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, (1009).to_bytes(2, "big"))
    await settle(world, redis)
    assert not LIVE


@pytest.mark.parametrize("joins", [True, False])
async def test_a_leg_that_fails_at_its_abort_leaves_nothing_else_behind(
    world: World,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    joins: bool,
) -> None:
    async def fail(*_: Any) -> None:
        raise ConnectionError

    if not joins:
        monkeypatch.setattr(world.node.hub, "join", fail)
    leads_to(world, FailsToAbort())
    assert (await world.answer())[0] == (101 if joins else 500)
    await settle(world, redis)
    assert set(hooks_named(caplog)) == {"abort"}


@pytest.mark.parametrize("leg", [ClosedSomehow(), RefusesSomehow()])
async def test_a_leg_that_is_closed_by_what_is_no_close_ends_its_link_as_a_failure(
    world: World, redis: Redis, leg: Leg
) -> None:
    leads_to(world, leg)
    async with asyncio.timeout(10), world.client() as client:
        first, payload, _ = await read(client, await accepted(client))
        assert (first, payload) == (0x88, (1011).to_bytes(2, "big") + b"internal error")
    await settle(world, redis)


@pytest.mark.parametrize(
    ("leg", "hook"),
    [
        (Fails("close", RuntimeError("a product's mistake")), "close"),
        (Fails("close", asyncio.CancelledError()), "close"),
        (Fails("close", Odd()), "close"),
        (FailsToMeasure(), "unsent_bytes"),
    ],
)
async def test_a_leg_that_fails_at_its_close_costs_neither_client_nor_record_theirs(
    world: World, redis: Redis, leg: Leg, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    leads_to(world, leg)
    with caplog.at_level(logging.INFO):
        async with asyncio.timeout(10), world.client() as client:
            rest = await accepted(client)
            while not world.node.links:
                await asyncio.sleep(0)
            (link,) = world.node.links.values()
            link.end(Close(4001, "kicked"), ClosedBy.GATEWAY)
            first, payload, _ = await read(client, rest)
            assert (first, payload) == (0x88, (4001).to_bytes(2, "big") + b"kicked")
        await settle(world, redis)
    assert hooks_named(caplog) == [hook]
    ends = [(record.code, record.reason) for record in caplog.records if record.message == "link closed"]  # type: ignore[attr-defined]
    assert ends == [(4001, "kicked")]
