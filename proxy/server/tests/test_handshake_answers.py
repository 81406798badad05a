"""Every answer to an upgrade: accepted as the application says, or refused with a status that one can see."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from proxy.server.handshake import BadHandshake, UpgradeRequest, accept_key_of
from proxy.server.tests.conftest import RunningServer, frame, read_all, read_head, serving, upgrade_request


async def test_a_denial_reaches_the_client_with_status_body_and_headers(server: RunningServer) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.url("deny?status=429&key=denied"), proxy=None)
        response = refused.value.response
        assert response.status_code == 429
        assert json.loads(response.body) == {"code": "denied"}
        assert response.headers["Retry-After"] == "7"
        assert response.headers["Content-Type"] == "application/json"
        assert (await server.seen("denied"))["type"] == "websocket.disconnect"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503, 504])
def test_after_a_denial_the_server_closes_the_connection(server: RunningServer, status: int) -> None:
    with server.upgrade(f"deny?status={status}") as raw:
        got, headers, rest = read_head(raw)
        assert (got, headers["connection"]) == (status, "close")
        assert rest + read_all(raw) == b'{"code": "denied"}'


def test_a_close_before_accept_is_a_403(server: RunningServer) -> None:
    with server.upgrade("reject") as raw:
        status, headers, rest = read_head(raw)
        assert (status, headers["content-type"]) == (403, "application/json")
        assert json.loads(rest + read_all(raw))["code"] == "forbidden"


@pytest.mark.parametrize("path", ["raise", "return", "nowhere", "accept?subprotocol=unoffered", "bad-header"])
def test_an_application_that_cannot_answer_is_a_500_at_once(server: RunningServer, path: str) -> None:
    with server.upgrade(path) as raw:
        raw.settimeout(0.5)
        status, _, rest = read_head(raw)
        assert status == 500
        assert json.loads(rest + read_all(raw))["code"] == "internal_error"


def test_an_application_that_never_answers_is_a_504(server: RunningServer) -> None:
    with server.upgrade("ponder?key=never") as raw:
        assert read_head(raw)[0] == 504


async def test_accept_headers_and_an_offered_subprotocol_reach_the_client(server: RunningServer) -> None:
    async with (
        asyncio.timeout(30),
        connect(
            server.url("accept?subprotocol=b"), subprotocols=[Subprotocol("a"), Subprotocol("b")], proxy=None
        ) as client,
    ):
        assert client.response is not None
        assert client.subprotocol == "b"
        assert client.response.headers["X-Node"] == "n1"
        assert client.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_the_connection_header_of_the_answer_is_exactly_upgrade(server: RunningServer) -> None:
    with server.upgrade("accept") as raw:
        status, headers, _ = read_head(raw)
        assert (status, headers["connection"], headers["upgrade"]) == (101, "Upgrade", "websocket")
        assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert "sec-websocket-extensions" not in headers


async def test_the_scope_is_what_daphne_makes_it_and_offers_the_extensions(server: RunningServer) -> None:
    async with (
        asyncio.timeout(30),
        connect(
            server.url("scope/caf%C3%A9%20x?token=%41&b=2"),
            subprotocols=[Subprotocol("one"), Subprotocol("two")],
            additional_headers={"X-Two_Words": "dropped", "Daphne-Root-Path": "/spoofed", "X-Kept": "yes"},
            proxy=None,
        ) as client,
    ):
        scope = json.loads(await client.recv())
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
    assert (scope["path"], scope["raw_path"]) == ("/scope/café x", "/scope/caf%C3%A9%20x")
    assert (scope["query_string"], scope["root_path"]) == ("token=%41&b=2", "")
    assert scope["subprotocols"] == ["one", "two"]
    assert scope["client"][0] == "127.0.0.1"
    assert scope["server"] == ["127.0.0.1", server.port]
    assert set(scope["extensions"]) == {"websocket.http.response", "sluicegate.splice"}
    headers = dict(scope["headers"])
    assert headers["x-kept"] == "yes"
    assert "x-two_words" not in headers
    assert "daphne-root-path" not in headers


def test_a_http_request_cannot_set_its_own_root_path(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.sendall(b"GET /body HTTP/1.1\r\nHost: x\r\nDaphne-Root-Path: /x\r\nConnection: close\r\n\r\n")
        assert json.loads(read_all(raw).partition(b"\r\n\r\n")[2])["root_path"] == ""


@pytest.mark.parametrize(
    ("replaced", "by", "status"),
    [
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dG9vIHNob3J0", 400),
        (b"Version: 13", b"Version: 8", 426),
        (b"Version: 13", b"Version: thirteen", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 400),
        (b"Connection: keep-alive, Upgrade", b"Connection: keep-alive", 426),
        (b"GET ", b"POST ", 405),
        (b"HTTP/1.1", b"HTTP/1.0", 505),
        (b"Host: gateway", b"Content-Length: 1", 400),
    ],
)
def test_a_broken_handshake_is_refused_before_the_application_runs(
    server: RunningServer, replaced: bytes, by: bytes, status: int
) -> None:
    body = b"x" if b"Length" in by else b""
    with server.connect() as raw:
        raw.sendall(upgrade_request("echo").replace(replaced, by) + body)
        got, headers, rest = read_head(raw)
        assert (got, headers["content-type"]) == (status, "application/json")
        assert headers["connection"] == ("Upgrade, close" if status == 426 else "close")
        assert headers.get("sec-websocket-version") == ("13" if status == 426 else None)
        assert headers.get("allow") == ("GET" if status == 405 else None)  # a HEAD is no handshake, either
        assert json.loads(rest + read_all(raw))["code"] == "bad_request"


def test_a_broken_handshake_leaves_nothing_to_the_garbage_collector() -> None:
    headers = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"8")]
    request = UpgradeRequest(
        method="GET", target=b"/ws", http_version="1.1", headers=headers, client=None, server=None
    )
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(BadHandshake):
            accept_key_of(request)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_is_wrong_with_a_handshake_is_one_sentence(server: RunningServer) -> None:
    twice = b"Version: 13\r\nSec-WebSocket-Version: 13"
    with server.connect() as raw:
        raw.sendall(upgrade_request("echo").replace(b"Version: 13", twice))
        _, _, rest = read_head(raw)
        told = json.loads(rest + read_all(raw))["message"]
    assert told == "The handshake is not valid: invalid Sec-WebSocket-Version header: multiple values."


@pytest.mark.parametrize(
    "header",
    [
        *("User-Agent: a\x01b", "User-Agent: a\x7fb", "X-A: \x1f", "User-Agent: a\x0bb"),
        *("Sec-WebSocket-Protocol: foo bar", "Sec-WebSocket-Protocol: chat, a\x01b"),
        "Sec-WebSocket-Protocol: caf\xe9",
    ],
)
def test_a_head_that_no_library_could_send_on_is_a_400(server: RunningServer, header: str) -> None:
    with server.upgrade("echo", header) as raw:
        status, _, rest = read_head(raw)
        assert status == 400
        assert json.loads(rest + read_all(raw))["code"] == "bad_request"


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x0B, 0x1F, 0x7F, 0x85])
def test_control_bytes_in_the_head_of_a_http_request_are_a_400(server: RunningServer, byte: int) -> None:
    with server.connect() as raw:
        raw.sendall(
            b"GET /counts HTTP/1.1\r\nHost: x\r\nUser-Agent: a%cb\r\nConnection: close\r\n\r\n" % byte
        )
        assert read_all(raw).startswith(b"HTTP/1.1 400 ")


def test_tabs_and_any_byte_of_a_clients_own_text_are_let_through(server: RunningServer) -> None:
    """UTF-8 too, whose halves may look like Latin-1's spaces and line breaks: "Å" ends in 0x85."""
    text = bytes(range(0x80, 0x100)).decode("latin-1")
    with server.upgrade("echo", f"Cookie: a=\tb {text}", "Sec-WebSocket-Protocol: a, ,b") as raw:
        assert read_head(raw)[0] == 101


def test_a_few_early_bytes_are_kept_for_after_the_answer(server: RunningServer) -> None:
    with server.upgrade("echo", then=frame(1, b"early")) as raw:
        status, _, rest = read_head(raw)
        assert status == 101
        while len(rest) < 7:
            rest += raw.recv(100)
        assert rest == b"\x81\x05early"


def test_many_early_bytes_are_refused_at_once(server: RunningServer) -> None:
    with server.upgrade("ponder?key=early", then=bytes(3000)) as raw:
        for _ in range(20):
            raw.sendall(bytes(1000))
        assert read_head(raw)[0] == 400


def test_many_early_bytes_in_the_segment_of_the_head_are_refused_and_counted(server: RunningServer) -> None:
    before = server.get("counts").get("rejections_total handshake", 0)
    with server.upgrade("echo", then=bytes(30_000)) as raw:
        assert read_head(raw)[0] == 400
    assert server.get("counts")["rejections_total handshake"] == before + 1


async def test_a_second_pipelined_upgrade_is_not_served(server: RunningServer) -> None:
    with server.upgrade("gate?key=first", then=upgrade_request("ponder?key=second")) as raw:
        await server.seen("ponderingfirst")
        await server.ask("open-gate?key=first")
        answer = await asyncio.to_thread(read_all, raw)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 101")
    assert (await server.seen("first"))["code"] == 1002  # it was read as a frame, and is none


async def test_a_client_that_vanishes_before_the_answer_is_noticed_at_once(server: RunningServer) -> None:
    async with asyncio.timeout(1.5):
        with server.upgrade("ponder?key=vanished"):
            await server.seen("ponderingvanished")
        event = await server.seen("vanished")
    assert (event["type"], event["code"]) == ("websocket.disconnect", 1006)


async def test_an_upgrade_may_follow_a_http_request_on_the_same_connection(server: RunningServer) -> None:
    def talk() -> int:
        with server.connect() as raw:
            raw.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, rest = read_head(raw)
            while len(rest) < int(headers["content-length"]):
                rest += raw.recv(1000)
            assert status == 200
            raw.sendall(upgrade_request("echo"))
            return read_head(raw)[0]

    assert await asyncio.to_thread(talk) == 101


def test_an_upgrade_behind_an_answer_that_was_not_read_is_refused(server: RunningServer) -> None:
    """Stock Daphne would get the socket, and it knows no flow control."""
    with server.connect() as raw:
        raw.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" + upgrade_request("echo"))
        received = read_all(raw)
    assert received.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in received[-2000:]
    assert b"HTTP/1.1 101" not in received[-2000:]


async def test_a_full_node_refuses_before_it_runs_the_application() -> None:
    with serving(max_connections=2, drain_seconds=0.1) as server:
        async with asyncio.timeout(30), connect(server.url("echo"), proxy=None) as first:
            second = await connect(server.url("echo"), proxy=None)
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.url("echo"), proxy=None)
            response = refused.value.response
            assert (response.status_code, json.loads(response.body)["code"]) == (503, "overloaded")
            assert int(response.headers["Retry-After"]) >= 1

            async with connect(server.url("echo?a=1&refuse=close"), proxy=None) as asking:
                await asking.wait_closed()
                assert (asking.close_code, asking.close_reason) == (4013, "overloaded; retry in 2000 ms")

            await second.close()
            while True:  # the place is free once the server has seen the close
                try:
                    third = await connect(server.url("echo"), proxy=None)
                    break
                except InvalidStatus:
                    await asyncio.sleep(0.01)
            await first.send("still here")
            assert await first.recv() == "still here"
            await third.close()


async def test_cancelling_receive_loses_no_event(server: RunningServer) -> None:
    async with (
        asyncio.timeout(30),
        connect(server.url("cancelled-receive"), proxy=None) as client,
    ):
        for number in range(50):
            await client.send(str(number))
        assert [await client.recv() for _ in range(50)] == [str(number) for number in range(50)]
