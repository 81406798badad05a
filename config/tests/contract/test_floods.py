"""Clients that send as much as they can, as small as they can: neighbours and newcomers hardly notice."""

from __future__ import annotations

import asyncio
import logging
import socket
import statistics
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from config.testing.gateway import Gateway, issue
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway
from proxy.core.wire.framing import ping_frame
from proxy.core.wire.headers import CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.tests.splicing import accepting

pytestmark = pytest.mark.timing

logger = logging.getLogger(__name__)

MASK = b"\x01\x02\x03\x04"
SECONDS = 3.0
# What is held to on a quiet machine (docs/performance.md). Here other programs may want the cores as well; a
# node without turns takes seconds.
BAR_SECONDS, LET_IN_SECONDS = 0.025, 0.1
FLOODERS = 3


def message_of(fragment: bytes) -> bytes:
    """One message in as many fragments as it may come in, nearly."""
    first = encode_frame(TEXT, fragment, mask=MASK, fin=False)
    last = encode_frame(CONT, fragment, mask=MASK)
    return first + encode_frame(CONT, fragment, mask=MASK, fin=False) * 1000 + last


FLOODS = {
    "empty texts": encode_frame(TEXT, b"", mask=MASK),
    "pings": ping_frame(mask=MASK),
    "refused refreshes": encode_frame(TEXT, b'{"type":"gateway.refresh","token":"no"}', mask=MASK),
    "what looks like refreshes": encode_frame(TEXT, b'{"text":"\\u0067ateway."}', mask=MASK),
    "fragments of one byte": message_of(b"x"),
    "empty fragments": message_of(b""),
    "endless empty fragments": encode_frame(CONT, b"", mask=MASK, fin=False),
}


@pytest.fixture
def node(make_gateway: MakeGateway, valkey: ValkeyServer) -> Gateway:
    return make_gateway(
        REDIS_URL=valkey.url,
        STUDIO_WS_URLS=f"ws://127.0.0.1:{free_port()}",
        STUDIO_PROBE="none",
        MESSAGE_RATE_PER_USER="1000/s",
    )


@asynccontextmanager
async def two_services(node: Gateway) -> AsyncIterator[None]:
    """One that takes whatever comes and says nothing, one that echoes."""

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await reader.readuntil(b"\r\n\r\n")))
        while await reader.read(1 << 18):
            pass

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    port = int(node.env["STUDIO_WS_URLS"].rpartition(":")[2])
    async with node.serving_raw(sink), serve(echo, "127.0.0.1", port, compression=None):
        yield


@contextmanager
def flooding(node: Gateway, flood: bytes) -> Iterator[None]:
    """So many clients that do nothing but send `flood`, each in a thread, until the end of this."""
    over = threading.Event()
    chunk = flood * (1_000_000 // len(flood))
    first = (
        encode_frame(TEXT, b"x", mask=MASK, fin=False) if flood == FLOODS["endless empty fragments"] else b""
    )

    def send(number: int) -> None:
        path = node.url(token=issue(f"flooder-{number}")).partition(str(node.port))[2]
        while not over.is_set():
            with socket.create_connection(("127.0.0.1", node.port)) as raw:
                raw.settimeout(0.5)
                raw.sendall(upgrade_request(path) + first)
                send_until(raw)

    def send_until(raw: socket.socket) -> None:
        left = memoryview(chunk)
        while not over.is_set():
            try:
                left = left[raw.send(left) :] or memoryview(chunk)
            except TimeoutError:
                continue
            except OSError:
                return

    threads = [threading.Thread(target=send, args=(number,)) for number in range(FLOODERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(5)


def upgrade_request(path: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def neighbour(node: Gateway, *, seconds: float) -> list[float]:
    """Round trips of a client that sends a hundred a second, in seconds."""
    clock, trips = asyncio.get_running_loop().time, []
    async with node.connect(node.url("/ws", token=issue("neighbour"))) as client:
        until = clock() + seconds
        while clock() < until:
            began = clock()
            await client.send("ping")
            await client.recv()
            trips.append(clock() - began)
            await asyncio.sleep(max(0.01 - trips[-1], 0))
    return trips


async def newcomers(node: Gateway, *, seconds: float) -> list[float]:
    """How long each of four a second waited to be let in."""
    clock, waits = asyncio.get_running_loop().time, list[float]()
    until = clock() + seconds
    while clock() < until:
        began = clock()
        async with node.connect(node.url("/ws", token=issue(f"newcomer-{len(waits)}"))):
            waits.append(clock() - began)
        await asyncio.sleep(0.25)
    return waits


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_neighbours_and_newcomers_are_served_while_clients_flood(node: Gateway, flood: bytes) -> None:
    async with asyncio.timeout(50), two_services(node):
        calm = p99(await neighbour(node, seconds=1))
        with flooding(node, flood):
            trips, waits = await asyncio.gather(
                neighbour(node, seconds=SECONDS), newcomers(node, seconds=SECONDS)
            )
    let_in = statistics.median(waits)
    logger.info("p99 %.1f ms, calm %.1f ms; let in after %.0f ms", p99(trips) * 1e3, calm * 1e3, let_in * 1e3)
    assert p99(trips) < 10 * (BAR_SECONDS + calm)
    assert let_in < 10 * (LET_IN_SECONDS + calm)
