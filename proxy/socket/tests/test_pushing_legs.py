"""A route's own leg that pushes: how its messages reach the client, and what bounds and ends it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from proxy.core.closes import Close, ClosedBy
from proxy.core.legs import ClientSide, PushingLeg
from proxy.core.limits import LinkBounds
from proxy.core.policies import DROP, FORWARD, Policy, Verdict
from proxy.core.routes import LegPerLink, Overflow, Resume, Subject
from proxy.server.conversation_leg import ConversationLeg
from proxy.socket.tests.wire import accepted, read
from proxy.tests.world import World, settle

# On our server, and on one that knows no more than ASGI.
pytestmark = pytest.mark.parametrize("world", ["splice", "relay"], indirect=True)


class Pusher(PushingLeg):
    """Says what a test has it say."""

    def __init__(self) -> None:
        self.client: ClientSide | None = None
        self.aborted = 0

    def joined(self, client: ClientSide) -> None:
        self.client = client

    async def send(self, message: str | bytes) -> None:
        raise AssertionError

    def abort(self) -> None:
        self.aborted += 1

    async def once_joined(self) -> ClientSide:
        while self.client is None:
            await asyncio.sleep(0)
        return self.client


@pytest.fixture
def pusher(world: World) -> Pusher:
    leg = Pusher()

    async def open_leg(_: Subject) -> Pusher:
        return leg

    upstream = LegPerLink(name="pusher", open=open_leg)
    bounds = LinkBounds(max_message_bytes=1 << 20, outbox_bytes=1 << 20)
    world.route = replace(world.route, upstream=upstream, resume=Resume.CLOSE, bounds=bounds)
    return leg


async def frames(client: socket.socket, heard: bytes, count: int) -> list[tuple[int, bytes]]:
    """The next frames, each of up to 125 bytes."""
    found = []
    for _ in range(count):
        first, payload, heard = await read(client, heard)
        found.append((first, payload))
    return found


async def test_messages_arrive_in_order_and_kind_and_are_counted(
    world: World, redis: Redis, pusher: Pusher
) -> None:
    said: list[str | bytes] = ["a", b"\xff", "", b"", "ü", *map(str, range(500))]
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        side = await pusher.once_joined()
        for number, message in enumerate(said):
            side.push(message)
            if number % 100 == 0:
                await asyncio.sleep(0)
        heard = await frames(client, rest, len(said))
        assert heard == [
            (0x81, message.encode()) if isinstance(message, str) else (0x82, message) for message in said
        ]
        (link,) = world.node.links.values()
        assert link.counters.messages_out == len(said)
        assert link.counters.bytes_out == sum(len(payload) for _, payload in heard)
        assert side.buffered_bytes == 0
    await settle(world, redis)
    assert pusher.aborted >= 1
    side.push("to nobody")


async def test_messages_of_one_turn_share_a_write(
    world: World, redis: Redis, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    send_frames = ConversationLeg.send_frames

    def note(leg: ConversationLeg, written: bytes) -> None:
        writes.append(len(written))
        send_frames(leg, written)

    monkeypatch.setattr(ConversationLeg, "send_frames", note)
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        side = await pusher.once_joined()
        for number in range(100):
            side.push(f"{number:03}")
        world.node.hub.deliver(f"connection:{next(iter(world.node.links))}", '{"type":"an event"}')
        heard = await frames(client, rest, 101)
        assert [payload for _, payload in heard] == [
            *(b"%03d" % number for number in range(100)),
            b'{"type":"an event"}',
        ]
        assert len(writes) == (1 if world.way == "splice" else 0)
    await settle(world, redis)


async def test_an_event_keeps_its_place_among_more_of_a_turn_than_a_write_takes(
    world: World, redis: Redis, pusher: Pusher
) -> None:
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        side, expected = await pusher.once_joined(), []
        for number in range(1000):
            message = f"{number:0100}"
            side.push(message)
            expected.append(message.encode())
            if number in (100, 300, 900):
                event = f'{{"type":"event","n":{number}}}'
                world.node.hub.deliver(f"connection:{next(iter(world.node.links))}", event)
                expected.append(event.encode())
        assert [payload for _, payload in await frames(client, rest, len(expected))] == expected
        (link,) = world.node.links.values()
        assert link.counters.messages_out == len(expected)
    await settle(world, redis)


class Talker(Pusher):
    """Has something to say beside."""

    async def receive(self) -> str:
        await self.once_joined()
        if self.has_spoken:
            await asyncio.Event().wait()
        self.has_spoken = True
        return "received"

    has_spoken = False


async def test_a_leg_that_pushes_is_received_from_if_it_says_so(world: World, redis: Redis) -> None:
    async def open_leg(_: Subject) -> Talker:
        return Talker()

    world.route = replace(world.route, upstream=LegPerLink(name="talker", open=open_leg), resume=Resume.CLOSE)
    async with asyncio.timeout(20), world.client() as client:
        assert await frames(client, await accepted(client), 1) == [(0x81, b"received")]
    await settle(world, redis)


async def test_a_client_that_does_not_read_is_closed_once_its_outbox_is_full(
    world: World, redis: Redis, pusher: Pusher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(20), world.client() as client:
        await accepted(client)
        side, most = await pusher.once_joined(), 0
        for _ in range(200):
            side.push("x" * 50_000)
            most = max(most, side.buffered_bytes)
            await asyncio.sleep(0)
        assert 500_000 < most <= (1 << 20) + 50_000  # the first, and what waits behind it
        heard = b""
        while not heard.endswith(b"slow consumer"):
            heard = await asyncio.get_running_loop().sock_recv(client, 1 << 20)
    await settle(world, redis)
    ends = [(record.code, record.reason) for record in caplog.records if record.message == "link closed"]  # type: ignore[attr-defined]
    assert ends == [(1008, "slow consumer")]


async def test_a_slow_client_gets_all_of_it_once_it_reads(world: World, redis: Redis, pusher: Pusher) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), world.client() as client:
        heard = bytearray(await accepted(client))
        side = await pusher.once_joined()
        while side.buffered_bytes < 300_000:
            side.push("x" * 10_000)
            await asyncio.sleep(0)
        side.push("last")
        while not heard.endswith(b"\x81\x04last"):
            heard += await loop.sock_recv(client, 1 << 20)
        assert side.buffered_bytes == 0
    await settle(world, redis)


async def test_a_full_outbox_drops_the_oldest_where_its_route_says_so(
    world: World, redis: Redis, pusher: Pusher
) -> None:
    world.route = replace(world.route, overflow=Overflow.DROP_OLDEST, topics=lambda _: (), topic_kinds=())
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), world.client() as client:
        heard = bytearray(await accepted(client))
        side = await pusher.once_joined()
        for _ in range(300):
            side.push("x" * 50_000)
            await asyncio.sleep(0)
        side.push("last")
        while not heard.endswith(b"\x81\x04last"):
            heard += await loop.sock_recv(client, 1 << 20)
        assert 1_000_000 < len(heard) < 200 * 50_000
    await settle(world, redis)


async def test_what_was_pushed_before_an_end_goes_out_before_the_close(
    world: World, redis: Redis, pusher: Pusher
) -> None:
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        side = await pusher.once_joined()
        if world.way == "relay":  # it cannot be written to at once
            side.push("bye")
            while side.buffered_bytes:
                await asyncio.sleep(0)
        else:
            side.push("bye")
        side.end(Close(4321, "over"), ClosedBy.UPSTREAM)
        assert await frames(client, rest, 2) == [(0x81, b"bye"), (0x88, (4321).to_bytes(2, "big") + b"over")]
    await settle(world, redis)


async def test_a_message_over_the_bound_ends_the_link(world: World, redis: Redis, pusher: Pusher) -> None:
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        (await pusher.once_joined()).push(b"x" * ((1 << 20) + 1))
        ((first, payload),) = await frames(client, rest, 1)
        assert (first, payload[:2]) == (0x88, (1009).to_bytes(2, "big"))
    await settle(world, redis)


class NoSecrets(Policy):
    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return DROP if b"secret" in payload else FORWARD


async def test_a_policy_judges_what_is_pushed_and_no_event(
    world: World, redis: Redis, pusher: Pusher
) -> None:
    world.route = replace(world.route, policy=lambda _: NoSecrets())
    event = json.dumps({"type": "secret event"})
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        side = await pusher.once_joined()
        for message in ("a", "a secret", "b"):
            side.push(message)
        world.node.hub.deliver(f"connection:{next(iter(world.node.links))}", event)
        heard: Any = await frames(client, rest, 3)
        assert [payload for _, payload in heard] == [b"a", b"b", event.encode()]
    await settle(world, redis)


class Unwilling(Pusher):
    def joined(self, client: ClientSide) -> None:
        raise RuntimeError("a product's mistake")


async def test_a_leg_that_fails_as_it_joins_ends_its_link(
    world: World, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async def open_leg(_: Subject) -> Pusher:
        return Unwilling()

    world.route = replace(world.route, upstream=LegPerLink(name="pusher", open=open_leg), resume=Resume.CLOSE)
    async with asyncio.timeout(20), world.client() as client:
        rest = await accepted(client)
        ((first, payload),) = await frames(client, rest, 1)
        assert (first, payload) == (0x88, (1011).to_bytes(2, "big") + b"internal error")
    await settle(world, redis)
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["joined"]
