"""Socket.IO through the gateway: a real server, real clients, the websocket transport."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import socketio

from config.testing.gateway import Gateway, issue
from config.testing.plugin import Spawn
from config.testing.program import free_port
from config.testing.publisher import Publisher
from config.testing.servers import ValkeyServer


@pytest.fixture
def make_node(tmp_path: Path, spawn: Spawn) -> Callable[..., Gateway]:
    """`make_node(kind, NAME=value…)`: a gateway, not started, before a Socket.IO server."""
    port = free_port()
    server = spawn(
        [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port),
         "config.tests.pools.socketio_server:application"],
        name="socketio",
    )  # fmt: skip
    server.wait_for_port(port)

    def make(kind: str = "serve", **env: str) -> Gateway:
        studio = {"STUDIO_WS_URLS": f"ws://127.0.0.1:{port}", "STUDIO_PROBE_SECONDS": "0.1"}
        gateway = Gateway(kind, tmp_path, {**studio, **env})
        gateway.migrate()
        return gateway

    return make


@pytest.fixture
def node(make_node: Callable[..., Gateway]) -> Gateway:
    return make_node()


def talk(url: str) -> tuple[object, object, object]:
    with socketio.SimpleClient() as client:
        client.connect(url, transports=["websocket"])
        welcome = client.receive(timeout=10)
        answer = client.call("add", [1, 2, 3], timeout=10)
        return welcome, answer, client.receive(timeout=10)


async def test_a_python_client_exchanges_events(node: Gateway) -> None:
    node.start()
    try:
        url = f"http://127.0.0.1:{node.port}?token={issue('7')}"
        welcome, answer, event = await asyncio.wait_for(asyncio.to_thread(talk, url), 30)
        assert (await node.wait_until_ready(database=True))["upstreams"]["studio"]
        assert node.stop() == 0
    finally:
        node.close()
    assert welcome == ["welcome", {"user_id": "7"}]
    assert answer == 6
    assert event == ["added", {"sum": 6}]


@asynccontextmanager
async def playing(node: Gateway) -> AsyncIterator[socketio.AsyncSimpleClient]:
    """A client of user 7 that has been welcomed, on the started gateway."""
    node.start()
    try:
        async with asyncio.timeout(40), socketio.AsyncSimpleClient() as client:
            await client.connect(f"http://127.0.0.1:{node.port}?token={issue('7')}", transports=["websocket"])
            assert (await client.receive())[0] == "welcome"
            yield client
    finally:
        node.close()


async def test_an_event_arrives_as_a_message_and_the_session_goes_on(
    make_node: Callable[..., Gateway], valkey: ValkeyServer
) -> None:
    node = make_node(REDIS_URL=valkey.url)
    publisher = Publisher(valkey.url)
    async with playing(node) as client:
        await publisher.publish("user:7", {"type": "quest.updated", "stage": "fönd"})
        assert await client.receive() == ["message", {"type": "quest.updated", "stage": "fönd"}]
        await client.emit("message", "still here")
        assert await client.receive() == ["message", "still here"]
    await publisher.close()


async def test_packets_beyond_the_rate_come_later_and_none_is_missed(
    make_node: Callable[..., Gateway],
) -> None:
    """Dropped, an attachment or a pong would end the session, and a call would wait for good."""
    flood = [f"text {number}" if number % 2 else b"binary %d" % number for number in range(16)]
    async with playing(make_node(MESSAGE_RATE_PER_USER="12/s")) as client:
        for sent in flood:
            await client.emit("message", sent)
        answer = await client.call("add", [1, 2], timeout=30)
        heard = [(await client.receive())[1] for _ in flood]
        assert (heard, answer) == (flood, 3)
        assert await client.receive() == ["added", {"sum": 3}]


class Staying:
    """A client that comes back by itself, with the latest of the tokens that it was given."""

    def __init__(self, node: Gateway, session: aiohttp.ClientSession) -> None:
        self.token, self._port = "", node.port
        self.heard: asyncio.Queue[object] = asyncio.Queue()
        self.client = socketio.AsyncClient(
            reconnection_delay=0.1, reconnection_delay_max=1, http_session=session
        )
        self.client.on("welcome", lambda _: self.heard.put_nowait("welcome"))
        self.client.on("message", self.heard.put_nowait)
        self.client.on("disconnect", self._leave)

    async def _leave(self, why: str) -> None:
        if why == "server disconnect":
            await asyncio.sleep(0.5)  # as one does that is busy while the close frame arrives
        self.heard.put_nowait(why)

    async def connect(self, token: str) -> None:
        self.token = token
        await self.client.connect(
            lambda: f"http://127.0.0.1:{self._port}?token={self.token}", transports=["websocket"]
        )
        assert await self.heard.get() == "welcome"


@asynccontextmanager
async def staying(node: Gateway, *, minutes: float = 60) -> AsyncIterator[Staying]:
    """Such a client of user 7, with a token for `minutes`, on the gateway, which is started."""
    node.start()
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            await node.wait_until_ready(database=True)
            client = Staying(node, session)
            await client.connect(issue("7", minutes=minutes))
            yield client
            await client.client.shutdown()
    finally:
        node.close()


BOTH_SERVERS = pytest.mark.parametrize("kind", ["serve", "daphne"])


@BOTH_SERVERS
async def test_a_kicked_client_is_told_why_and_does_not_come_back(
    make_node: Callable[..., Gateway], kind: str
) -> None:
    node = make_node(kind)
    async with staying(node) as client:
        await asyncio.to_thread(node.manage, "kick", "--user", "7", "--reason", "Bitte neu starten ☂")
        said = {"type": "gateway.closed", "code": 4001, "reason": "Bitte neu starten ☂"}
        assert await client.heard.get() == said
        assert await client.heard.get() == "server disconnect"
        await client.client.wait()  # for an end that is not followed by another attempt
        await node.wait_for_records("user_id = '7' AND close_code = 4001")
        assert len(node.records()) == 1


@BOTH_SERVERS
async def test_an_expired_client_comes_back_with_a_fresh_token(
    make_node: Callable[..., Gateway], kind: str
) -> None:
    async with staying(make_node(kind), minutes=3 / 60) as client:
        client.token = issue("7")
        assert [await client.heard.get() for _ in range(2)] == ["transport error", "welcome"]


@BOTH_SERVERS
async def test_a_drained_client_comes_back(make_node: Callable[..., Gateway], kind: str) -> None:
    node = make_node(kind)
    async with staying(node) as client:
        assert await asyncio.to_thread(node.stop) == 0
        node.start()
        assert [await client.heard.get() for _ in range(2)] == ["transport error", "welcome"]
