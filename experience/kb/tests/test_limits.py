"""What bounds the service: slow readers, too many sockets, a failing store. In process, with small limits."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from experience.kb.announcer import Announcer
from experience.kb.answers import Answers
from experience.kb.game import Player, Turn
from experience.kb.limits import KbLimits
from experience.kb.players import PlayersUnavailable
from experience.kb.service import KbService
from proxy.core.principal import Principal


class MemoryPlayers:
    """Players kept in memory; none at all while `away`."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Player] = {}
        self.away = False

    async def read(self, experience: str, user_id: str) -> Player:
        if self.away:
            raise PlayersUnavailable("away")
        return self.kept.get((experience, user_id), Player())

    async def play(
        self, experience: str, user_id: str, move: Callable[[Player], Turn], *, request_id: str = ""
    ) -> Turn:
        turn = move(await self.read(experience, user_id))
        self.kept[experience, user_id] = turn.player
        return turn


async def publish_nowhere(_: str, __: object) -> None: ...


@asynccontextmanager
async def serving(players: MemoryPlayers | None = None, **limits: float) -> AsyncIterator[str]:
    service = KbService(
        verify=lambda raw: Principal(user_id=raw),
        answers=Answers(players=players or MemoryPlayers(), announcer=Announcer(publish_nowhere)),
        limits=KbLimits(**limits),  # type: ignore[arg-type]
    )
    async with asyncio.timeout(40), service.listening("127.0.0.1", 0) as addresses:
        yield f"ws://{addresses[0]}/ws/experience?token=42&experience=wylding-woods"


async def stalling_client(url: str) -> ClientConnection:
    """A client that reads nothing more once its small buffers are full.

    They are small from the beginning: behind a window that shrinks, its kernel drops what comes, all that
    acknowledges what it sends included, and then it is the client that waits.
    """
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    address = urlsplit(url)
    await asyncio.get_running_loop().sock_connect(small, (address.hostname, address.port))
    return await connect(url, sock=small, proxy=None, max_queue=1, ping_interval=None, close_timeout=1)


async def flood(stalled: ClientConnection, patience_seconds: float = 30) -> None:
    """Ask for more answers than any buffer on the way holds, until nothing more can be asked.

    Raises TimeoutError when nothing more is taken for that long.
    """
    question = '{"type":"get_state"}' + 2000 * " "  # or it takes 200,000 of them to fill what holds questions
    while True:
        async with asyncio.timeout(patience_seconds):
            await stalled.send(question)
        await asyncio.sleep(0)  # or none is answered before that is full


async def test_a_client_that_does_not_read_is_closed_and_its_neighbour_is_not() -> None:
    async with serving(send_timeout_seconds=0.3, close_timeout_seconds=0.3) as url:
        stalled = await stalling_client(url)
        async with connect(url, proxy=None) as neighbour:
            await neighbour.recv()
            with pytest.raises(ConnectionClosed):
                await flood(stalled)
            await neighbour.send('{"type":"ping"}')
            assert json.loads(await neighbour.recv())["type"] == "pong"


async def test_a_client_that_does_not_read_cannot_hold_up_the_end_of_the_service() -> None:
    async with serving(send_timeout_seconds=60, close_timeout_seconds=0.3) as url:
        stalled = await stalling_client(url)
        with pytest.raises(TimeoutError):
            await flood(stalled, patience_seconds=0.5)
    stalled.transport.abort()  # it reads nothing, and need not notice
    await stalled.wait_closed()


async def test_a_full_service_refuses_with_503_and_says_when_to_come_back() -> None:
    async with serving(max_connections=1) as url, connect(url, proxy=None) as first:
        await first.recv()
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, proxy=None)
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        await first.close()
        async with connect(url, proxy=None) as again:
            assert json.loads(await again.recv())["type"] == "connected"


async def test_a_store_that_is_away_costs_answers_but_no_sockets() -> None:
    players = MemoryPlayers()
    async with serving(players) as url, connect(url, proxy=None) as socket_:
        await socket_.recv()
        players.away = True
        await socket_.send('{"type":"get_state","request_id":"r1"}')
        answer = json.loads(await socket_.recv())
        players.away = False
        await socket_.send('{"type":"get_state"}')
        assert json.loads(await socket_.recv())["type"] == "state"

    assert (answer["type"], answer["code"], answer["request_id"]) == ("error", "unavailable", "r1")


async def test_a_handshake_that_never_ends_is_given_up() -> None:
    async with serving(idle_timeout_seconds=0.2) as url:
        host, port = url.removeprefix("ws://").partition("/")[0].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /ws/experience HTTP/1.1\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_the_end_of_the_service_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with serving() as url:
        one = await connect(url, proxy=None)
        await one.recv()
    await one.wait_closed()
    assert asyncio.all_tasks() == before
