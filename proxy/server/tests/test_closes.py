"""Closes in both directions, on sockets that are not spliced."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect

from proxy.server.tests.conftest import RunningServer, frame, read_all, read_head, serving, upgrade_request

SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4001, 4999]


@pytest.mark.parametrize("code", SENDABLE)
async def test_the_applications_close_reaches_the_client(server: RunningServer, code: int) -> None:
    reason = f"because {code} é"
    url = server.url(f"close?code={code}&reason={quote(reason)}")
    async with asyncio.timeout(30), connect(url, proxy=None) as client:
        await client.wait_closed()
    assert (client.close_code, client.close_reason) == (code, reason)


@pytest.mark.parametrize("code", SENDABLE)
async def test_the_clients_close_reaches_the_application(server: RunningServer, code: int) -> None:
    with server.upgrade(f"echo?key=from-client-{code}") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.sendall(frame(8, code.to_bytes(2, "big") + "enough é".encode()))
        echoed = await asyncio.to_thread(read_all, raw)
    event = await server.seen(f"from-client-{code}")
    assert (event["code"], event["reason"]) == (code, "enough é")
    assert echoed[2:4] == code.to_bytes(2, "big")


async def test_a_close_without_a_code_is_1005_and_is_echoed_empty(server: RunningServer) -> None:
    with server.upgrade("echo?key=empty") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.sendall(frame(8))
        assert await asyncio.to_thread(read_all, raw) == b"\x88\x00"
    event = await server.seen("empty")
    assert (event["code"], event["reason"]) == (1005, "")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_lost_connection_is_1006(server: RunningServer, reset: bool) -> None:
    raw = server.upgrade(f"echo?key=lost{reset}")
    await asyncio.to_thread(read_head, raw)
    if reset:
        raw.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: close() sends RST
    raw.close()
    event = await server.seen(f"lost{reset}")
    assert (event["code"], event["reason"]) == (1006, "")


async def test_a_close_without_a_code_by_the_application_is_1000(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(server.url("close?key=default"), proxy=None) as client:
        await client.wait_closed()
    assert client.close_code == 1000
    assert (await server.seen("default"))["type"] == "websocket.disconnect"


@pytest.mark.parametrize("code", [999, 1004, 1006, 1015, 2000, 5000])
async def test_a_code_that_may_not_be_sent_never_is(server: RunningServer, code: int) -> None:
    async with asyncio.timeout(30), connect(server.url(f"close?code={code}"), proxy=None) as client:
        await client.wait_closed()
    assert client.close_code == 1011


async def test_a_reason_that_is_too_long_is_cut(server: RunningServer) -> None:
    url = server.url("close?code=4000&reason=" + quote("é" * 100))
    async with asyncio.timeout(30), connect(url, proxy=None) as client:
        await client.wait_closed()
    assert (client.close_code, client.close_reason) == (4000, "é" * 61)


async def test_an_application_that_raises_after_accept_closes_with_1011(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(server.url("raise?when=after"), proxy=None) as client:
        await client.wait_closed()
    assert (client.close_code, client.close_reason) == (1011, "internal error")


async def test_an_application_that_returns_gets_its_socket_closed_with_1000(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(server.url("return?when=after"), proxy=None) as client:
        await client.wait_closed()
    assert client.close_code == 1000


async def test_empty_messages_are_messages(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(server.url("echo"), proxy=None) as client:
        for message in ("", b"", "text", b"bytes", "é" * 1000):
            await client.send(message)
            assert await client.recv() == message


async def test_fragments_arrive_as_one_message(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(server.url("echo"), proxy=None) as client:
        await client.send(["ab", "", "cd"])
        assert await client.recv() == "abcd"
        await client.send([b"", b"\xff", b"\xfe"])
        assert await client.recv() == b"\xff\xfe"


async def test_a_message_over_the_limit_closes_with_1009_even_amid_sending(server: RunningServer) -> None:
    """The client may send all of it, and then reads why; no reset takes the close away from it."""
    with server.upgrade("echo?key=big") as raw:
        await asyncio.to_thread(read_head, raw)
        await asyncio.to_thread(raw.sendall, frame(2, bytes(5_000_000)))
        answer = await asyncio.to_thread(read_all, raw)
    assert (answer[0], int.from_bytes(answer[2:4], "big")) == (0x88, 1009)
    event = await server.seen("big")
    assert (event["code"], event["sluicegate.closed_by"]) == (1009, "gateway")
    assert event["reason"] == answer[4 : 2 + answer[1]].decode()
    assert event["reason"].startswith("client's ")


async def test_fragments_that_sum_up_to_too_much_close_with_1009(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(server.url("echo"), proxy=None) as client:
        await client.send([bytes(60_000), bytes(60_000)])
        await client.wait_closed()
    assert client.close_code == 1009


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x81\x03abc", 1002),  # not masked
        (frame(3, b"x"), 1002),  # a reserved opcode
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (frame(9, bytes(126)), 1002),  # a control frame that is too long
        (frame(9, b"", fin=False), 1002),  # a control frame in fragments
        (frame(0, b"x"), 1002),  # a continuation of nothing
        (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),  # a message inside a message
        (frame(8, b"\x03"), 1002),  # a close of one byte
        (frame(8, (1005).to_bytes(2, "big")), 1002),  # a code that may not be sent
        (frame(1, b"\xff"), 1007),  # not UTF-8
        (frame(1, b"\xc3", fin=False) + frame(0, b"x"), 1007),  # not UTF-8, over fragments
    ],
)
async def test_a_client_that_breaks_the_rules_is_told_so(
    server: RunningServer, wire: bytes, code: int
) -> None:
    with server.upgrade("echo") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.sendall(wire)
        answer = await asyncio.to_thread(read_all, raw)
    assert answer[0] == 0x88
    assert int.from_bytes(answer[2:4], "big") == code


async def test_after_the_close_handshake_the_server_closes_tcp_at_once(server: RunningServer) -> None:
    with server.upgrade("close?code=4000") as raw:
        _, _, rest = await asyncio.to_thread(read_head, raw)
        while len(rest) < 4:
            rest += raw.recv(100)
        raw.sendall(frame(8, rest[2:4]))
        raw.settimeout(0.5)
        assert await asyncio.to_thread(raw.recv, 100) == b""


async def test_a_close_that_is_not_answered_ends_by_a_deadline(server: RunningServer) -> None:
    with server.upgrade("close?code=4000") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.settimeout(3)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.to_thread(read_all, raw)


async def test_an_application_that_outlives_its_socket_is_cancelled(server: RunningServer) -> None:
    async with asyncio.timeout(30):
        async with connect(server.url("stubborn?key=stubborn"), proxy=None):
            pass
        assert await server.seen("stubborn") == {"type": "cancelled"}


async def test_an_idle_link_closes_with_4008() -> None:
    limits = {"idle_timeout_seconds": 0.3, "ping_interval_seconds": 0.1}
    with serving(limits=limits, sweep_seconds=0.05, drain_seconds=0.1) as server:
        async with asyncio.timeout(30), connect(server.url("echo"), proxy=None) as client:
            await client.wait_closed()
    assert (client.close_code, client.close_reason) == (4008, "idle")


async def test_a_client_that_does_not_answer_pings_is_closed() -> None:
    limits = {"ping_interval_seconds": 0.1, "ping_timeout_seconds": 0.2, "close_timeout_seconds": 0.2}
    with serving(limits=limits, sweep_seconds=0.05, drain_seconds=0.1) as server:
        with server.upgrade("echo?key=silent") as raw:
            _, _, rest = await asyncio.to_thread(read_head, raw)
            while len(rest) < 2:
                rest += await asyncio.to_thread(raw.recv, 100)
            assert rest[:2] == b"\x89\x00"
            event = await server.seen("silent")
            assert (event["code"], event["reason"]) == (1011, "ping timeout")

        with server.upgrade("echo") as raw:  # several ping timeouts long, a client that answers stays
            _, _, rest = await asyncio.to_thread(read_head, raw)
            for _ in range(6):
                while len(rest) < 2:
                    rest += await asyncio.to_thread(raw.recv, 2)
                assert rest == b"\x89\x00"
                raw.sendall(frame(10))
                rest = b""


async def test_a_leg_that_the_clock_stumbles_over_is_ended_and_all_others_are_still_looked_after() -> None:
    limits = {"ping_interval_seconds": 0.2, "ping_timeout_seconds": 0.2, "close_timeout_seconds": 0.2}
    with (
        serving(limits=limits, sweep_seconds=0.05, drain_seconds=0.1) as server,
        server.upgrade("break-clock?key=broken") as broken,
    ):
        await asyncio.to_thread(read_head, broken)
        assert (await server.seen("broken"))["code"] == 1006
        with server.upgrade("echo?key=later") as later:  # it answers no ping
            await asyncio.to_thread(read_head, later)
            assert (await server.seen("later"))["reason"] == "ping timeout"
        assert (await server.ask("counts"))["errors_total tick_failed"] == 1


async def test_a_slow_client_gets_all_that_came_before_the_close() -> None:
    with serving(limits={"close_timeout_seconds": 0.5}) as server, server.connect() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        raw.sendall(upgrade_request("send-much-and-close"))
        received = await asyncio.to_thread(_read_slowly, raw)
    assert received[-1:] == b"!"
    assert len(received) == 6 * (1 << 20) + 24 * 10 + 2 + 2 + 5


def _read_slowly(raw: socket.socket) -> bytes:
    """All that comes after the head, at most 64 KB every 20 ms."""
    _, _, received = read_head(raw)
    while chunk := raw.recv(1 << 16):
        received += chunk
        time.sleep(0.02)
    return received
