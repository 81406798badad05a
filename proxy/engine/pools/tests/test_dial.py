"""Dialling for a relay, over real sockets: what each failure means, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import http
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import (
    LegClosed,
    NotFound,
    Overloaded,
    ServiceBusy,
    ServiceRefused,
    UpstreamRefused,
    UpstreamTimeout,
)
from proxy.core.limits import LinkLimits
from proxy.core.routes import Upstream
from proxy.engine.pools.dial import DialFailed, DialRequest, Target, dial_leg, words_for_clients
from proxy.engine.pools.pool import Pool
from proxy.engine.pools.rawdial import dial_raw

LIMITS = LinkLimits(close_timeout_seconds=1, max_message_bytes=1000)
WAYS: list[Any] = [partial(dial_leg, limits=LIMITS), dial_raw]


@asynccontextmanager
async def answering(answer: bytes | None, asked: asyncio.Event | None = None) -> AsyncIterator[str]:
    """A TCP service that reads a request and says `answer`; None: nothing, until the dialler leaves."""

    serving: list[asyncio.Task[None] | None] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.set()
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        if serving:
            await asyncio.wait([task for task in serving if task is not None], timeout=5)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", NotFound),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ServiceRefused),
        (b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", UpstreamRefused),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", UpstreamRefused),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", UpstreamRefused),
        (b"nonsense\r\n\r\n", UpstreamRefused),
        (b"", UpstreamRefused),
    ],
)
async def test_each_answer_that_is_no_upgrade_means_its_own_failure(
    answer: bytes, failure: type[Exception]
) -> None:
    async with asyncio.timeout(30), answering(answer) as url:
        with pytest.raises(failure):
            await dial_leg(Target(url), DialRequest(), limits=LIMITS)


async def test_no_answer_in_time_is_a_timeout() -> None:
    async with asyncio.timeout(5), answering(None) as url:
        pool = Pool(Upstream.of("silent", url), dial_seconds=0.1)
        with pytest.raises(UpstreamTimeout):
            await pool.dial(partial(dial_leg, limits=LIMITS), DialRequest())


async def test_a_service_cannot_send_the_gateway_elsewhere() -> None:
    asked = asyncio.Event()
    async with asyncio.timeout(30), answering(b"", asked) as elsewhere:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
        async with answering(moved) as url:
            with pytest.raises(UpstreamRefused) as refused:
                await dial_leg(Target(url), DialRequest(), limits=LIMITS)
    assert refused.value.upstream_status == 302
    assert not asked.is_set()


async def test_a_port_that_nobody_listens_on_lets_another_member_be_tried() -> None:
    async with answering(b"") as url:
        pass
    with pytest.raises(DialFailed):
        await dial_leg(Target(url), DialRequest(), limits=LIMITS)


async def test_a_cancelled_dial_leaves_no_socket() -> None:
    came, gone = asyncio.Event(), asyncio.Event()

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        came.set()
        await reader.read()  # until the dialler has closed its socket
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with asyncio.timeout(30), await asyncio.start_server(service, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        dialling = asyncio.create_task(dial_leg(Target(url), DialRequest(), limits=LinkLimits()))
        await came.wait()
        dialling.cancel()
        await asyncio.wait([dialling])
        await gone.wait()
    assert dialling.cancelled()


async def test_a_dial_asks_for_what_it_was_told_to_and_nothing_more() -> None:
    asked: list[Request] = []

    def keep(_: ServerConnection, request: Request) -> Response | None:
        asked.append(request)
        return None if request.path.startswith("/ws?") else Response(http.HTTPStatus.GONE, "", [])  # type: ignore[arg-type]

    async def service(connection: ServerConnection) -> None:
        await connection.wait_closed()

    request = DialRequest(path="/ws", query="a=1", headers=(("x-request-id", "r"),), subprotocols=("v2",))
    async with asyncio.timeout(30):
        async with serve(service, "127.0.0.1", 0, process_request=keep, subprotocols=["v2"]) as server:  # type: ignore[list-item]
            target = request.target(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/")
            leg = await dial_leg(Target(target), request, limits=LIMITS)
            assert leg.subprotocol == "v2"
            await leg.close(Close(1000))
    assert asked[0].path == "/ws?a=1"
    assert asked[0].headers["x-request-id"] == "r"
    for absent in ("user-agent", "origin", "sec-websocket-extensions", "authorization"):
        assert absent not in asked[0].headers


@pytest.mark.parametrize(
    ("end", "close", "by"),
    [
        ("close", Close(4321, "over"), ClosedBy.UPSTREAM),
        ("empty", Close(1005), ClosedBy.UPSTREAM),
        ("abort", closes.LOST, ClosedBy.UPSTREAM),
        ("too big", Close(1009, "upstream's message too big"), ClosedBy.GATEWAY),
        ("not utf-8", closes.UPSTREAM_FAILED, ClosedBy.GATEWAY),
    ],
)
async def test_a_leg_tells_how_it_ended_and_by_whom(end: str, close: Close, by: ClosedBy) -> None:
    async def service(connection: ServerConnection) -> None:
        if end == "close":
            await connection.close(4321, "over")
        elif end == "empty":
            await connection.close(None)  # type: ignore[arg-type]
        elif end == "abort":
            connection.transport.abort()
        elif end == "too big":
            await connection.send("x" * 1001)
        else:
            await connection.send(b"\xff", text=True)
        await connection.wait_closed()

    async with asyncio.timeout(30), serve(service, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        leg = await dial_leg(Target(url), DialRequest(), limits=LIMITS)
        with pytest.raises(LegClosed) as ended:
            await leg.receive()
        assert (ended.value.close, ended.value.by) == (close, by)
        with pytest.raises(LegClosed):
            await leg.send("late")


@pytest.mark.parametrize(
    "unsendable",
    [
        {"headers": [("user-agent", "a\x01b")]},
        {"headers": [("user-agent", "a\r\nX-User-Id: 1")]},
        {"headers": [("user-agent", "a\x85X-User-Id: 1")]},
        {"headers": [("user-agent", "\u20ac")]},
        {"headers": [("x y", "1")]},
        {"subprotocols": ["foo bar"]},
        {"headers": [("", "1")]},
        {"query": "a b"},
        {"path": "/\n"},
    ],
)
def test_what_cannot_be_sent_is_known_before_there_is_a_dial(unsendable: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"holds|token|control|line break|latin-1"):
        DialRequest(**unsendable)


@pytest.mark.parametrize("way", WAYS)
async def test_a_node_that_has_no_file_left_says_that_it_is_full(way: Any) -> None:
    which = resource.RLIMIT_NOFILE
    _, hard = resource.getrlimit(which)
    async with asyncio.timeout(30), answering(b"") as url:
        soft, _ = resource.getrlimit(which)
        with open("/dev/null") as lowest_free:  # noqa: ASYNC230  nothing is read
            resource.setrlimit(which, (lowest_free.fileno(), hard))
        target = Target(url)
        try:
            with pytest.raises(Overloaded):
                await way(target, DialRequest())
        finally:
            resource.setrlimit(which, (soft, hard))
    assert not target.is_connected


@pytest.mark.parametrize("way", WAYS)
async def test_a_fault_that_stands_for_itself_is_not_its_own_cause(way: Any) -> None:
    """Who follows the causes of an exception would not come to an end."""
    with pytest.raises(ValueError, match="Port") as fault:
        await way(Target("ws://127.0.0.1:99999/"), DialRequest())
    assert fault.value.__cause__ is not fault.value


async def test_a_service_that_drops_the_connection_has_taken_it_before() -> None:
    for way in WAYS:
        async with asyncio.timeout(30), answering(b"") as url:
            target = Target(url)
            with pytest.raises(UpstreamRefused):
                await way(target, DialRequest())
            assert target.is_connected


@pytest.mark.parametrize("head", [b"503 Service Unavailable", b"429 Too Many Requests"])
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (b"Retry-After: 7\r\n", 7.0),
        (b"retry-after:90 \r\nRetry-After: 7\r\n", 90.0),
        (b"Retry-After: 0\r\n", 1.0),
        (b"Retry-After: 999999999\r\n", 3600.0),
        (b"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 2.0),
        (b"Retry-After: -7\r\n", 2.0),
        (b"Retry-After: 1e3\r\n", 2.0),
        (b"Retry-After: \xb2\r\n", 2.0),
        (b"", 2.0),
    ],
)
async def test_a_busy_service_says_when_to_come_back(head: bytes, said: bytes, seconds: float) -> None:
    answer = b"HTTP/1.1 " + head + b"\r\n" + said + b"Content-Length: 0\r\n\r\n"
    for way in WAYS:
        async with answering(answer) as url, asyncio.timeout(30):
            with pytest.raises(ServiceBusy) as busy:
                await way(Target(url), DialRequest())
        assert busy.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "Your guild is full.", "code": "full"}', "Your guild is full."),
        (b'{"detail": "Token is expired"}', "Token is expired"),
        (b'{"error": "no", "detail": 7}', "no"),
        (b'{"detail": "two\\nlines\\u202e"}', "two\ufffdlines\ufffd"),
        (b'{"detail": ["a"]}', ""),
        (b'["message"]', ""),
        (b"<html>uwsgi at 10.1.2.3</html>", ""),
        (b"[" * 4000, ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_a_client_reads_a_services_reason_and_no_page_of_its_framework(body: bytes, words: str) -> None:
    assert words_for_clients(body) == words


@pytest.mark.parametrize("length", ["0", "5", "999999", "x", "-1", "5000"])
async def test_a_refusal_whose_body_does_not_come_is_a_refusal_without_a_reason(length: str) -> None:
    answer = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {length}\r\n\r\n".encode()
    async with answering(answer) as url, asyncio.timeout(5):
        with pytest.raises(ServiceRefused) as refused:
            await dial_raw(Target(url), DialRequest())
    assert refused.value.message == ServiceRefused.message
