"""The smallest gateway that splices, between real sockets: it dials, answers 101, and joins."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from proxy import metrics
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import GatewayError
from proxy.core.hook_failures import HookFailed
from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.splice import Splice
from proxy.engine.links.terms import End, SpliceRequest, Terms
from proxy.engine.pools.dial import DialFailed, DialRequest, Target
from proxy.engine.pools.rawdial import RawUpstream, dial_raw
from proxy.tests.counting import counted

TEST_SECONDS = 20.0
MASK = b"\x01\x02\x03\x04"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FAST = LinkLimits(dial_timeout_seconds=5, close_timeout_seconds=1)


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on asyncio's own event loop and on uvloop, each under a deadline."""

    async def under_a_deadline(arguments: dict[str, Any]) -> None:
        async with asyncio.timeout(TEST_SECONDS):
            await test(**arguments)

    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(under_a_deadline(arguments))

    run.__name__, run.__module__, run.__doc__ = test.__name__, test.__module__, test.__doc__
    new_loop = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    asked = inspect.signature(test).parameters.values()
    run.__signature__ = inspect.Signature([new_loop, *asked])  # type: ignore[attr-defined]
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    decorated: Callable[..., None] = pytest.mark.parametrize("new_loop", loops, ids=["asyncio", "uvloop"])(
        run
    )
    return decorated


class Counted:
    """What was counted since, under a route of its own."""

    def __init__(self) -> None:
        self.route = f"splicing-{secrets.token_hex(4)}"
        self._dropped_before = counted(metrics.EVENTS_TOTAL, "layer", "dropped")

    @property
    def slow(self) -> float:
        return counted(metrics.SLOW_CONSUMERS_TOTAL, self.route)

    @property
    def stops(self) -> float:
        return counted(metrics.BACKPRESSURE_EVENTS_TOTAL, self.route)

    @property
    def dropped(self) -> float:
        return counted(metrics.EVENTS_TOTAL, "layer", "dropped") - self._dropped_before


class NotingLife:
    """A link's life: answers control messages, and knows how the link ended."""

    def __init__(self) -> None:
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.failures: list[HookFailed] = []

    def joined(self, stream: object) -> None: ...

    def control(self, text: str) -> str:
        return answer_to(text)

    def failed(self, error: HookFailed) -> None:
        self.failures.append(error)

    def ended(self, close: Close, by: ClosedBy) -> None:
        self.end.set_result(End(close, by))


def terms(**options: Any) -> Terms:
    """Those of a link of which only some matter."""
    return Terms(**{"limits": LinkLimits(), "counters": LinkCounters(), "life": NotingLife(), **options})


def answer_to(control: str) -> str:
    return f"control: {control}"


@dataclass
class TestGateway:
    """`joined` hands out each splice once. `options` go into each request."""

    __test__ = False

    upstream_url: str
    limits: LinkLimits = FAST
    options: dict[str, Any] = field(default_factory=dict)
    joined: asyncio.Queue[Splice] = field(default_factory=asyncio.Queue)
    lives: dict[Splice, NotingLife] = field(default_factory=dict)
    counted: Counted = field(default_factory=Counted)
    counters: LinkCounters = field(default_factory=LinkCounters)
    clients_gone: int = 0
    url: str = ""
    port: int = 0
    failures: list[Exception] = field(default_factory=list)

    async def join(self, transport: asyncio.Transport, head: bytes, early: bytes) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(head)
        request = protocol.events_received()[0]
        assert isinstance(request, Request)
        response = protocol.accept(request)
        try:
            upstream = await self._dial(request.headers.get("Sec-WebSocket-Extensions"))
        except (GatewayError, DialFailed) as error:
            self.failures.append(error)
            transport.abort()
            return
        _set(response.headers, "Sec-WebSocket-Extensions", upstream.extensions)
        transport.write(response.serialize())
        life = NotingLife()
        splice = Splice(
            transport, self.request(upstream, life), early=early, on_client_gone=self._client_gone
        )
        self.joined.put_nowait(splice)
        self.lives[splice] = life

    async def _dial(self, offer: str | None) -> RawUpstream:
        inspected = self.options.get("control") or self.options.get("policy")
        request = DialRequest(extensions=None if inspected else offer)
        return await dial_raw(Target(self.upstream_url), request)

    def request(self, upstream: RawUpstream, life: NotingLife) -> SpliceRequest:
        route = self.counted.route
        asked = terms(limits=self.limits, counters=self.counters, life=life, route=route, **self.options)
        return SpliceRequest(upstream, asked)

    async def end_of(self, splice: Splice) -> End:
        """How the link ended, once both of its sockets are closed."""
        return await self.lives[splice].end

    def _client_gone(self) -> None:
        self.clients_gone += 1


def _set(headers: Headers, name: str, value: str | None) -> None:
    if name in headers:
        del headers[name]
    if value is not None:
        headers[name] = value


class _Front(asyncio.Protocol):
    """Reads a request head, then leaves the socket to the gateway."""

    def __init__(self, gateway: TestGateway) -> None:
        self._gateway, self._read = gateway, b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n") + 4
        if end > 3 and self._task is None:
            self._transport.pause_reading()
            head, early = self._read[:end], self._read[end:]
            self._task = asyncio.create_task(self._gateway.join(self._transport, head, early))


@asynccontextmanager
async def gateway_to(
    upstream: Callable[..., Awaitable[None]] | str, *, limits: LinkLimits = FAST, **options: Any
) -> AsyncIterator[TestGateway]:
    """A gateway to a `websockets` server with this handler, or to the server at this URL."""
    if isinstance(upstream, str):
        async with _serving(TestGateway(upstream, limits, options)) as gateway:
            yield gateway
        return
    async with serve(upstream, "127.0.0.1", 0, compression=None, max_size=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with _serving(TestGateway(f"ws://127.0.0.1:{port}/service", limits, options)) as gateway:
            yield gateway


@asynccontextmanager
async def _serving(gateway: TestGateway) -> AsyncIterator[TestGateway]:
    server = await asyncio.get_running_loop().create_server(lambda: _Front(gateway), "127.0.0.1", 0)
    gateway.port = server.sockets[0].getsockname()[1]
    gateway.url = f"ws://127.0.0.1:{gateway.port}/"
    try:
        yield gateway
    finally:
        server.close()
        for splice in gateway.lives:
            splice.abort()
            await until(lambda splice=splice: splice.down.gone and splice.up.gone)  # type: ignore[misc]


def client_of(gateway: TestGateway, **options: Any) -> connect:
    """A `websockets` client; without compression, keep-alive pings and a size limit unless asked for."""
    settings: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None}
    return connect(gateway.url, **settings | options)


@dataclass
class RawEnd:
    """One end of a socket, of which a test decides every byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """First byte and unmasked payload of the next frame."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await self.reader.readexactly(8), "big")
        mask = await self.reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
        payload = await self.reader.readexactly(length)
        return first, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    async def ended(self) -> None:
        """Wait for the end of the stream; a reset is one too."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def raw_client(gateway: TestGateway, *, then: bytes = b"") -> AsyncIterator[RawEnd]:
    """A client whose handshake is done; `then` went out in the same segment as its request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    lines = (
        "GET / HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    )
    writer.write("\r\n".join((*lines, "", "")).encode() + then)
    try:
        await reader.readuntil(b"\r\n\r\n")
        yield RawEnd(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def raw_upstream(
    conversation: Callable[[RawEnd], Awaitable[None]], *, greeting: bytes = b"", answer: bytes | None = None
) -> AsyncIterator[str]:
    """The URL of a service that answers the handshake, `greeting` in the same segment, and then converses.

    `answer` stands in for the whole answer; empty means none.
    """

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(accepting(head) + greeting if answer is None else answer)
            await conversation(RawEnd(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def accepting(head: bytes) -> bytes:
    """The 101 that a service gives to the handshake `head`, for services that only know bytes."""
    protocol = ServerProtocol()
    protocol.receive_data(head)
    request = protocol.events_received()[0]
    assert isinstance(request, Request)
    return protocol.accept(request).serialize()


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame."""
    return encode_frame(opcode, payload, mask=MASK, fin=fin)


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


async def hold(connection: Any) -> None:
    """A service that reads what comes, says nothing, and stays."""
    async for _ in connection:
        pass


async def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    """Code and reason with which a client's connection ended."""
    await client.wait_closed()
    return client.close_code, client.close_reason


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds; the test's deadline is the only bound."""
    while not holds():
        await asyncio.sleep(0.001)
