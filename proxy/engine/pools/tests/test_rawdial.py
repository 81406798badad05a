"""Dialling for a splice: what is kept, what each failure means, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from typing import Any

import pytest
from websockets.asyncio.server import serve

from proxy.core.errors import NotFound, ServiceBusy, ServiceRefused, UpstreamRefused, UpstreamTimeout
from proxy.core.routes import Upstream
from proxy.core.wire.framing import text_frame
from proxy.engine.links.tests.splicing import RawEnd, on_both_loops, raw_upstream
from proxy.engine.pools import rawdial
from proxy.engine.pools.dial import DialFailed, DialRequest, Target
from proxy.engine.pools.pool import Pool
from proxy.engine.pools.rawdial import MAX_RESPONSE_HEAD_BYTES, RawUpstream, dial_raw

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


async def dial(url: str, **request: Any) -> RawUpstream:
    return await dial_raw(Target(url), DialRequest(**request))


@on_both_loops
async def test_a_dial_asks_with_path_query_headers_and_subprotocols_and_learns_the_choice() -> None:
    asked: list[Any] = []

    async def service(connection: Any) -> None:
        asked.append(connection.request)
        await connection.wait_closed()

    async with serve(service, "127.0.0.1", 0, subprotocols=["game.v2"], compression=None) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        upstream = await dial(
            f"ws://127.0.0.1:{port}/ws/experience",
            query="token=abc",
            headers=[("X-User-Id", "42")],
            subprotocols=["game.v1", "game.v2"],
        )
        assert (upstream.subprotocol, upstream.extensions, upstream.early) == ("game.v2", None, b"")
        assert asked[0].path == "/ws/experience?token=abc"
        assert asked[0].headers["X-User-Id"] == "42"
        assert asked[0].headers["Host"] == f"127.0.0.1:{port}"
        upstream.abort()


@on_both_loops
async def test_bytes_behind_the_response_head_are_kept() -> None:
    greeting = text_frame("welcome\r\n\r\n") * 3  # what ends a head may stand in a greeting
    async with raw_upstream(RawEnd.ended, greeting=greeting) as url:
        upstream = await dial(url)
        assert upstream.early == greeting
        assert not upstream.transport.is_reading()
        upstream.abort()


@on_both_loops
async def test_of_the_clients_offer_only_deflate_goes_on_and_is_answered() -> None:
    async def service(connection: Any) -> None:
        assert "x-unknown" not in connection.request.headers["Sec-WebSocket-Extensions"]
        await connection.wait_closed()

    async with serve(service, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        offer = "x-unknown; a=1, permessage-deflate; client_max_window_bits"
        upstream = await dial(url, extensions=offer)
        assert upstream.extensions is not None
        assert upstream.extensions.startswith("permessage-deflate")
        upstream.abort()
        for unusable in (None, "", "x-unknown", '"broken'):
            upstream = await dial_without_offer(unusable)
            assert upstream.extensions is None
            upstream.abort()


async def dial_without_offer(offer: str | None) -> RawUpstream:
    async with raw_upstream(RawEnd.ended) as url:
        return await dial(url, extensions=offer)


@pytest.mark.parametrize("status", [200, 301, 400, 500, 502])
@on_both_loops
async def test_any_other_status_is_a_refusal_that_carries_it(status: int) -> None:
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 100000\r\n\r\n".encode()
    async with raw_upstream(RawEnd.ended, answer=answer) as url:
        with pytest.raises(UpstreamRefused) as refused:
            await dial(url)
        assert refused.value.upstream_status == status


@pytest.mark.parametrize("status", [401, 403])
@on_both_loops
async def test_who_may_not_come_in_is_the_services_to_say(status: int) -> None:
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 16\r\n\r\n".encode() + b'{"detail": "no"}'
    async with raw_upstream(RawEnd.ended, answer=answer) as url:
        with pytest.raises(ServiceRefused) as refused:
            await dial(url)
    assert (refused.value.status, refused.value.message) == (status, "no")


@on_both_loops
async def test_the_upstreams_404_is_an_answer() -> None:
    async with raw_upstream(RawEnd.ended, answer=b"HTTP/1.1 404 Not Found\r\n\r\n") as url:
        with pytest.raises(NotFound):
            await dial(url)


BROKEN = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no accept key": SWITCHING + b"\r\n",
    "wrong accept key": SWITCHING + b"Sec-WebSocket-Accept: x\r\n\r\n",
    "extensions nobody offered": SWITCHING + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "an endless head": b"HTTP/1.1 101 OK\r\nX: " + b"x" * (MAX_RESPONSE_HEAD_BYTES + 1),
}


@pytest.mark.parametrize("kind", BROKEN)
@on_both_loops
async def test_a_broken_handshake_is_a_refusal(kind: str) -> None:
    async with raw_upstream(RawEnd.ended, answer=BROKEN[kind]) as url:
        with pytest.raises(UpstreamRefused):
            await dial(url)


@on_both_loops
async def test_a_busy_service_whose_retry_after_is_all_blanks_does_not_hold_the_loop() -> None:
    answer = b"HTTP/1.1 503 No\r\nRetry-After:" + b" " * 15_000 + b"\n\r\nContent-Length: 0\r\n\r\n"
    async with raw_upstream(RawEnd.ended, answer=answer) as url:
        with pytest.raises(ServiceBusy):
            await dial(url)


@on_both_loops
async def test_a_head_that_comes_at_once_may_be_no_longer_than_one_in_pieces() -> None:
    answer = b"HTTP/1.1 404 No\r\nX: " + b"x" * MAX_RESPONSE_HEAD_BYTES + b"\r\n\r\n"
    async with raw_upstream(RawEnd.ended, answer=answer) as url:
        with pytest.raises(UpstreamRefused, match="head too long"):
            await dial(url)


@on_both_loops
async def test_a_connection_dropped_during_the_handshake_is_a_refusal() -> None:
    async def drops(end: RawEnd) -> None:
        end.close()

    async with raw_upstream(drops, answer=b"HTTP/1.1 101") as url:
        with pytest.raises(UpstreamRefused):
            await dial(url)


@on_both_loops
async def test_no_answer_in_time_is_a_timeout_and_nothing_stays_open() -> None:
    gone = asyncio.Event()

    async def silent(end: RawEnd) -> None:
        await end.ended()
        gone.set()

    async with raw_upstream(silent, answer=b"") as url:
        with pytest.raises(UpstreamTimeout):
            await Pool(Upstream.of("silent", url), dial_seconds=0.1).dial(dial_raw, DialRequest())
        await gone.wait()


@on_both_loops
async def test_a_member_that_is_not_there_lets_another_be_tried() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DialFailed):
            await dial(f"ws://127.0.0.1:{taken.getsockname()[1]}")


@on_both_loops
async def test_a_cancelled_dial_closes_its_socket() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def silent(end: RawEnd) -> None:
        arrived.set()
        await end.ended()
        gone.set()

    async with raw_upstream(silent, answer=b"") as url:
        dialling = asyncio.ensure_future(dial(url))
        await arrived.wait()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await gone.wait()


@on_both_loops
async def test_environment_proxies_are_not_used() -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        async with raw_upstream(RawEnd.ended) as url:
            (await dial(url)).abort()


@on_both_loops
async def test_the_handshake_leaves_nothing_behind_in_memory() -> None:
    handshakes: list[weakref.ref[Any]] = []
    begin = rawdial._begin

    def watched(*arguments: Any) -> Any:
        handshake = begin(*arguments)
        handshakes.append(weakref.ref(handshake))
        return handshake

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rawdial, "_begin", watched)
        async with raw_upstream(RawEnd.ended) as url:
            gc.disable()  # it holds the token, and may not wait for the collector
            try:
                upstream = await dial(url)
                assert handshakes[0]() is None
            finally:
                gc.enable()
            upstream.abort()
