"""Stock Daphne and clients that break a rule and go on: what they cost is bounded, and they do not stay."""

from __future__ import annotations

import asyncio
import json
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgpack  # type: ignore[import-untyped]
import pytest
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from proxy.core.topics import group_name
from proxy.core.wire.framing import close_frame, encode_frame
from proxy.core.wire.headers import TEXT

pytestmark = pytest.mark.long

MIB = 1 << 20
SENT_MIB, MOST_GROWTH_KIB = 192, 64 * 1024
ENDLESS_PING = b"\x89\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)
NOT_UTF8 = encode_frame(TEXT, b"\xff", mask=bytes(4))
RESERVED = encode_frame(3, b"", mask=bytes(4))  # an opcode that means nothing


@pytest.fixture
def daphne(running: Callable[[str], Gateway]) -> Gateway:
    return running("daphne")


def connected(url: str) -> socket.socket:
    """A client's socket, from which its 101 was read, and nothing else."""
    parts = urlsplit(url)
    client = socket.create_connection((parts.hostname, parts.port), timeout=10)
    client.sendall(
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    if not head.startswith(b"HTTP/1.1 101"):
        client.close()
        raise AssertionError(head)
    return client


def peak_kib(gateway: Gateway) -> int:
    """The most memory that its process has ever had."""
    status = Path(f"/proc/{gateway.program.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def test_what_follows_a_broken_frame_is_not_kept(daphne: Gateway) -> None:
    def flood(url: str) -> int:
        with connected(url) as client, suppress(OSError):  # reset as soon as Daphne has had enough
            before_kib = peak_kib(daphne)
            client.sendall(ENDLESS_PING)
            for _ in range(SENT_MIB):
                client.sendall(bytes(MIB))
        return peak_kib(daphne) - before_kib

    async with daphne.serving(wait), asyncio.timeout(60):
        assert await asyncio.to_thread(flood, daphne.url(token=issue("floods"))) < MOST_GROWTH_KIB


@pytest.mark.parametrize("sent", [NOT_UTF8, close_frame(1000, mask=bytes(4))], ids=["not UTF-8", "close"])
async def test_a_client_that_reads_nothing_does_not_stay_behind_its_close(
    daphne: Gateway, sent: bytes
) -> None:
    """Behind more than the sockets hold, the close frame would wait for good."""
    filled = asyncio.Event()

    async def fill(upstream: ServerConnection) -> None:
        for _ in range(16):
            await upstream.send(bytes(MIB))
        filled.set()
        await upstream.wait_closed()

    def is_ended(client: socket.socket) -> bool:
        poll = select.poll()
        poll.register(client, 0)  # for a reset or a hang-up only: nothing is read
        return bool(poll.poll(20_000))

    async with daphne.serving(fill), asyncio.timeout(60):
        client = await asyncio.to_thread(connected, daphne.url(token=issue("sleeps")))
        with client:
            await filled.wait()
            client.sendall(sent)
            assert await asyncio.to_thread(is_ended, client)


@pytest.mark.parametrize("sent", [NOT_UTF8 * 100, RESERVED], ids=["closed", "closing"])
async def test_what_the_service_says_after_a_client_has_broken_a_rule_is_no_failure(
    daphne: Gateway, sent: bytes
) -> None:
    async def talk(upstream: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await upstream.send("and")
                await asyncio.sleep(0)  # a send alone does not let others have their turn

    def break_a_rule(url: str) -> None:
        with connected(url) as client, suppress(OSError):
            client.sendall(sent)
            while client.recv(65_536):
                pass

    async with daphne.serving(talk), asyncio.timeout(60):
        url = daphne.url(token=issue("breaks"))
        await asyncio.gather(*(asyncio.to_thread(break_a_rule, url) for _ in range(10)))
    assert "a link failed" not in daphne.program.output


async def publish_raw(valkey: ValkeyServer, topic: str, text: str) -> None:
    """As docs/publishing.md has it for who is no gateway: nobody looks at the size."""
    async with Redis.from_url(valkey.url) as redis:
        message = msgpack.packb({"type": "gateway.event", "topic": topic, "text": text})
        assert await redis.publish(f"gateway__group__{group_name(topic)}", message) == 1


@pytest.fixture
def generous(tmp_path: Path, valkey: ValkeyServer) -> Iterator[Gateway]:
    """It takes bigger messages than Daphne does."""
    sizes = dict.fromkeys(("MAX_MESSAGE_BYTES", "OUTBOX_BYTES"), f"{4 * MIB}")
    with Gateway.running("daphne", tmp_path, {"REDIS_URL": valkey.url, **sizes}) as gateway:
        yield gateway


@pytest.mark.parametrize("is_event", [False, True], ids=["the service's", "an event"])
async def test_what_is_too_big_for_daphne_to_send_closes_the_client_for_good(
    generous: Gateway, valkey: ValkeyServer, is_event: bool
) -> None:
    """It would be as big when the client has come back."""

    async def talk(upstream: ServerConnection) -> None:
        await upstream.send("hello" if is_event else bytes(MIB + 1))
        await upstream.wait_closed()

    async with generous.serving(talk), asyncio.timeout(30):
        async with generous.connect(generous.url(token=issue("reads"))) as client:
            if is_event:
                assert await client.recv() == "hello"
                await publish_raw(valkey, "user:reads", json.dumps({"type": "big", "text": "." * MIB}))
            with pytest.raises(ConnectionClosed) as end:
                await client.recv()
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 4909
    assert "a link failed" not in generous.program.output
