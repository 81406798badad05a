"""A route with a leg of its own for each link: who opens it, what crosses it, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from websockets.frames import Opcode

from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import Forbidden, LegClosed
from proxy.core.legs import Leg
from proxy.core.limits import LinkBounds
from proxy.core.routes import LegPerLink, Resume, Subject
from proxy.socket.tests.wire import accepted, frame, read
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


@pytest.mark.usefixtures("sessions")
async def test_messages_cross_both_ways_and_the_record_names_what_is_behind(
    world: World, redis: Redis
) -> None:
    loop, up = asyncio.get_running_loop(), redis.pubsub()
    await up.subscribe("session:s1:up")
    async with asyncio.timeout(30), world.client() as client:
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
    async with asyncio.timeout(30), world.client() as client:
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
    async with asyncio.timeout(30), world.client() as client:
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


@pytest.mark.usefixtures("sessions")
async def test_a_message_of_the_leg_over_the_routes_bound_ends_the_link(world: World, redis: Redis) -> None:
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        await redis.publish("session:s1:down", "x" * 2001)
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, (1009).to_bytes(2, "big"))
    await settle(world, redis)
    assert not LIVE
