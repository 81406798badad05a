"""Links of one user that are dialled together and let in together, where the oldest gives way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway, issue
from config.tests.pools.conftest import MakeNodes

WAYS = [("serve", "close"), ("daphne", "close"), ("serve", "reconnect")]
SETTINGS = {
    "MAX_CONNECTIONS_PER_USER": "1",
    "CONNECTION_CAP_POLICY": "replace_oldest",
    "DIAL_TIMEOUT_SECONDS": "20",
    "STUDIO_PROBE": "none",
}


class SlowMember:
    """A service that lets nobody in before it is `ready`. `port` is where it listens."""

    def __init__(self) -> None:
        self.ready, self.port = asyncio.Event(), 0
        self._dials: asyncio.Queue[None] = asyncio.Queue()

    async def dialled(self) -> None:
        """Until one more dial has come."""
        await self._dials.get()

    async def hold_up(self, *_: object) -> None:
        self._dials.put_nowait(None)
        await self.ready.wait()


@asynccontextmanager
async def slow_member() -> AsyncIterator[SlowMember]:
    async def echo(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    member = SlowMember()
    async with serve(echo, "127.0.0.1", 0, process_request=member.hold_up, close_timeout=1) as server:
        member.port = next(iter(server.sockets)).getsockname()[1]
        yield member


async def three_handshakes(
    stack: AsyncExitStack, nodes: list[Gateway], member: SlowMember
) -> list[ClientConnection]:
    """Of one user, one after the other, each on the next node, and none let in before all of them wait."""
    handshakes = []
    for number in range(3):
        node = nodes[number % len(nodes)]
        entering = stack.enter_async_context(node.connect(node.url("/ws", token=issue("ada"))))
        handshakes.append(asyncio.create_task(entering))
        await member.dialled()
    member.ready.set()
    return [await handshake for handshake in handshakes]


async def only_one_lives(clients: list[ClientConnection]) -> None:
    """Whichever was let in last."""
    ends = [asyncio.create_task(client.wait_closed()) for client in clients]
    while sum(end.done() for end in ends) < len(clients) - 1:
        await asyncio.wait([end for end in ends if not end.done()], return_when=asyncio.FIRST_COMPLETED)
    (living,) = [client for client, end in zip(clients, ends, strict=True) if not end.done()]
    assert [client.close_code for client in clients if client is not living] == [4009] * (len(clients) - 1)
    await living.send("still there?")
    assert await living.recv() == "still there?"
    ends[clients.index(living)].cancel()


@pytest.mark.parametrize("redis", ["with redis", "without redis"])
@pytest.mark.parametrize(("kind", "resume"), WAYS)
async def test_of_links_that_are_let_in_together_one_stays(
    make_nodes: MakeNodes, kind: str, resume: str, redis: str
) -> None:
    async with asyncio.timeout(40), slow_member() as member, AsyncExitStack() as stack:
        urls = {"STUDIO_WS_URLS": f"ws://127.0.0.1:{member.port}", "STUDIO_RESUME": resume}
        without = {} if redis == "with redis" else {"REDIS_URL": ""}
        nodes = make_nodes(1, kind=kind, **SETTINGS, **urls, **without)
        await only_one_lives(await three_handshakes(stack, nodes, member))


async def test_so_does_one_of_those_that_are_let_in_on_two_nodes(
    make_nodes: MakeNodes,
) -> None:
    async with asyncio.timeout(40), slow_member() as member, AsyncExitStack() as stack:
        nodes = make_nodes(2, **SETTINGS, STUDIO_WS_URLS=f"ws://127.0.0.1:{member.port}")
        for node in nodes:
            await asyncio.to_thread(node.program.wait_for_output, "limits hold for all nodes together")
        await only_one_lives(await three_handshakes(stack, nodes, member))
