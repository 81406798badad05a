"""A resuming leg under a relay, with real members: what it leaves behind, whenever the link ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import LegClosed
from proxy.core.limits import LinkLimits
from proxy.core.resuming import Phase, notice
from proxy.core.routes import Upstream
from proxy.engine.links.resume import Reconnected, RenewableLease, ResumingLeg, ResumingRelay
from proxy.engine.links.tests.splicing import terms
from proxy.engine.pools.dial import Dial, DialRequest, Target, dial_leg
from proxy.engine.pools.pool import MemberLease, Pool
from proxy.engine.pools.upstream_leg import UpstreamLeg

LIMITS = LinkLimits(reconnect_seconds=5, close_timeout_seconds=1, outbox_bytes=4096)


class Client:
    """A client's leg that the test plays: puts messages to `sent`, reads `got`."""

    def __init__(self) -> None:
        self.sent, self.got = asyncio.Queue[str | None](), asyncio.Queue[str | bytes]()
        self.closed: Close | None = None
        self.unsent_bytes, self.subprotocol = 0, None

    async def receive(self) -> str | bytes:
        message = await self.sent.get()
        if message is None:
            raise LegClosed(closes.NORMAL, by=ClosedBy.CLIENT)
        return message

    async def send(self, message: str | bytes) -> None:
        self.got.put_nowait(message)

    async def close(self, close: Close) -> None:
        self.closed = close

    def abort(self) -> None:
        raise AssertionError("it closes in time")


class World:
    """One member at a time on one port, a pool of it, and a relay from `client` to it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.heard: list[str | bytes] = []
        self.sockets: list[ServerConnection] = []
        self.server: Server | None = None
        self.pool = Pool(Upstream.of("studio", f"http://127.0.0.1:{self.port}"))
        self.client, self.outcomes = Client(), list[Reconnected]()

    async def start(self) -> None:
        self.server = await serve(self._echo, "127.0.0.1", self.port)

    async def _echo(self, connection: ServerConnection) -> None:
        self.sockets.append(connection)
        with suppress(ConnectionClosed):
            async for message in connection:
                self.heard.append(message)
                await connection.send(message)

    async def kill(self) -> None:
        if self.server is not None:
            self.server.close(close_connections=False)
            for connection in self.sockets:
                connection.transport.abort()
            await self.server.wait_closed()
            self.server = None

    async def relay(self, *, tell: bool = True) -> ResumingRelay:
        async def dial(target: Target, request: DialRequest) -> UpstreamLeg:
            return await dial_leg(target, request, limits=LIMITS)

        async def dialling(how: Dial[UpstreamLeg]) -> MemberLease[UpstreamLeg]:
            return await self.pool.dial(how, DialRequest())

        self.lease = RenewableLease(await dialling(dial), dial=dial, dialling=dialling)
        leg = ResumingLeg(self.lease, limits=LIMITS, tell=tell, observe=self.outcomes.append)
        return ResumingRelay(self.client, leg, terms(limits=LIMITS))

    @property
    def links(self) -> int:
        return sum(member.links for member in self.pool.all_members())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.start()
    yield world
    await world.kill()


async def nothing_runs_but_this() -> None:
    """Return once no task is left but the test's own, the library's closing ones included."""
    while asyncio.all_tasks() != {asyncio.current_task()}:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["kicked", "left", "cancelled"])
async def test_nothing_is_left_of_a_link_that_ends_while_it_reconnects(world: World, how: str) -> None:
    async with asyncio.timeout(10):
        relay = await world.relay()
        running = asyncio.create_task(relay.run())
        await world.kill()
        assert await world.client.got.get() == notice(Phase.RECONNECTING)
        assert world.links == 0
        world.client.sent.put_nowait("waits in vain")
        if how == "kicked":
            relay.end(closes.KICKED, ClosedBy.STAFF)
        elif how == "left":
            world.client.sent.put_nowait(None)
        else:
            running.cancel()
        await asyncio.wait({running})
        world.lease.release()
        await nothing_runs_but_this()
    assert world.outcomes == [Reconnected.ABANDONED]
    assert world.links == 0
    assert world.client.closed == (closes.KICKED if how == "kicked" else None)


async def test_nothing_is_left_of_a_link_that_was_carried_over(world: World) -> None:
    async with asyncio.timeout(30):
        relay = await world.relay()
        running = asyncio.create_task(relay.run())
        await world.kill()
        assert await world.client.got.get() == notice(Phase.RECONNECTING)
        for number in range(20):
            world.client.sent.put_nowait(str(number))
        await world.start()
        assert await world.client.got.get() == notice(Phase.CONNECTED)
        assert [await world.client.got.get() for _ in range(20)] == [str(number) for number in range(20)]
        assert world.links == 1
        world.client.sent.put_nowait(None)
        await running
        world.lease.release()
        await world.kill()
        await nothing_runs_but_this()
    assert world.heard == [str(number) for number in range(20)]
    assert (world.outcomes, world.links) == ([Reconnected.CONNECTED], 0)


async def test_a_full_buffer_takes_no_more_from_the_client_than_its_bound(world: World) -> None:
    async with asyncio.timeout(30):
        relay = await world.relay()
        running = asyncio.create_task(relay.run())
        await world.kill()
        assert await world.client.got.get() == notice(Phase.RECONNECTING)
        for number in range(20):
            world.client.sent.put_nowait(f"{number:03}" + "x" * 997)
        while world.client.sent.qsize() > 16:  # three fit into 4096, one is held
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert world.client.sent.qsize() == 16
        await world.start()
        assert await world.client.got.get() == notice(Phase.CONNECTED)
        read = [str(await world.client.got.get())[:3] for _ in range(20)]
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running
    assert read == [f"{number:03}" for number in range(20)]


async def test_a_route_that_does_not_tell_says_nothing(world: World) -> None:
    async with asyncio.timeout(30):
        relay = await world.relay(tell=False)
        running = asyncio.create_task(relay.run())
        await world.kill()
        while world.links:
            await asyncio.sleep(0.01)
        world.client.sent.put_nowait("first words")
        await world.start()
        assert await world.client.got.get() == "first words"
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running
    assert world.outcomes == [Reconnected.CONNECTED]
