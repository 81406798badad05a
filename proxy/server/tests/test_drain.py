"""SIGTERM: no new links, old ones closed evenly, requests in flight served, exit 0."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import ExitStack

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from proxy.server.tests.conftest import RunningServer, read_head, serving, upgrade_request


async def ending(client: ClientConnection, began: float) -> tuple[float, int | None, str | None]:
    """Seconds until the client was closed, and its close."""
    await client.wait_closed()
    return time.monotonic() - began, client.close_code, client.close_reason


async def test_clients_are_closed_with_1001_spread_evenly_and_told_when_to_come_back() -> None:
    with serving(drain_seconds=1.0) as server:
        async with asyncio.timeout(20):
            clients = [await connect(server.url("echo"), proxy=None) for _ in range(20)]
            began = time.monotonic()
            server.terminate()
            endings = sorted(await asyncio.gather(*(ending(client, began) for client in clients)))
        assert {code for _, code, _ in endings} == {1001}
        waits = [int(re.fullmatch(r"restart; retry in (\d+) ms", str(reason))[1]) for *_, reason in endings]  # type: ignore[index]
        assert len(set(waits)) > 10
        assert all(500 <= wait <= 5000 for wait in waits)
        closed_in_first_half = sum(seconds < 0.5 for seconds, *_ in endings)
        assert 5 <= closed_in_first_half <= 15
        assert server.wait() == 0
        assert "stopped" in server.output()


async def test_listening_stops_at_once_and_ready_turns_503() -> None:
    with serving(drain_seconds=60.0) as server:
        async with asyncio.timeout(20):
            clients = [await _connect(server.url("echo")) for _ in range(5)]
            kept_alive, late = server.connect(), server.connect()
            kept_alive.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await asyncio.to_thread(read_head, kept_alive))[0] == 200
            server.terminate()
            await _first_to_close(clients)
            await asyncio.to_thread(_wait_until_refused, server)

            kept_alive.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, _ = await asyncio.to_thread(read_head, kept_alive)
            assert (status, headers["connection"]) == (503, "close")
            late.sendall(upgrade_request("echo"))
            status, headers, rest = await asyncio.to_thread(read_head, late)
            assert (status, headers["retry-after"]) == (503, "1")
            assert b'"draining"' in rest
            server.terminate()
            await asyncio.gather(*(client.wait_closed() for client in clients))
        kept_alive.close()
        late.close()
        assert server.wait() == 0


async def _first_to_close(clients: list[ClientConnection]) -> None:
    closings = [asyncio.create_task(client.wait_closed()) for client in clients]
    await asyncio.wait(closings, return_when=asyncio.FIRST_COMPLETED)


async def test_handshakes_and_requests_in_flight_are_finished() -> None:
    with serving(drain_seconds=5.0) as server:
        async with asyncio.timeout(20):
            connecting = asyncio.create_task(_connect(server.url("gate?key=handshake")))
            await server.seen("ponderinghandshake")
            openers = [server.connect() for _ in range(2)]
            waiting = server.connect()
            waiting.sendall(b"GET /seen?key=gaterequest HTTP/1.1\r\nHost: x\r\n\r\n")
            for raw in openers:
                raw.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.to_thread(read_head, raw)
            server.terminate()
            await asyncio.to_thread(_wait_until_refused, server)

            openers[0].sendall(b"GET /open-gate?key=handshake HTTP/1.1\r\nHost: x\r\n\r\n")
            client = await connecting
            await client.wait_closed()
            assert client.close_code == 1001

            openers[1].sendall(b"GET /open-gate?key=request HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await asyncio.to_thread(read_head, waiting))[0] == 200
        assert server.wait() == 0
        for raw in (*openers, waiting):
            raw.close()


async def _connect(url: str) -> ClientConnection:
    return await connect(url, proxy=None)


def _wait_until_refused(server: RunningServer) -> None:
    while True:
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # it came in the moment of closing
        time.sleep(0.01)  # a crowd of them would push out the test's other connections


async def test_a_drain_under_load_loses_no_round_trip() -> None:
    """Whatever was echoed came in order; and what a client sent before its close was either echoed or not
    acknowledged: an echo never goes missing in the middle."""
    with serving(drain_seconds=1.0) as server:
        async with asyncio.timeout(30):
            trips = await asyncio.gather(
                *(round_trips(server, terminate_after=20 if number == 0 else None) for number in range(20))
            )
        assert all(code == 1001 and count >= 1 for count, code in trips)
        assert server.wait() == 0


async def round_trips(server: RunningServer, *, terminate_after: int | None) -> tuple[int, int | None]:
    count = 0
    async with connect(server.url("echo"), proxy=None) as client:
        try:
            while True:
                await client.send(str(count))
                assert await client.recv() == str(count)
                count += 1
                if count == terminate_after:
                    server.terminate()
        except ConnectionClosed:
            pass
    return count, client.close_code


def test_a_crowd_that_the_kernel_has_accepted_is_answered_before_the_port_closes() -> None:
    with serving(drain_seconds=0.5) as server, ExitStack() as stack:
        server.get("ready")
        server.process.send_signal(signal.SIGSTOP)
        crowd = [stack.enter_context(server.upgrade("echo")) for _ in range(300)]
        server.terminate()
        server.process.send_signal(signal.SIGCONT)
        assert {read_head(raw)[0] for raw in crowd} <= {101, 503}
    assert server.wait() == 0


async def test_a_second_signal_hurries() -> None:
    with serving(drain_seconds=60.0) as server:
        async with asyncio.timeout(10):
            clients = [await connect(server.url("echo"), proxy=None) for _ in range(10)]
            server.terminate()
            await _first_to_close(clients)
            server.process.send_signal(signal.SIGINT)
            assert [(await ending(client, 0))[1] for client in clients] == [1001] * 10
            assert server.wait(5) == 0


async def test_a_client_that_does_not_answer_the_close_cannot_hold_the_drain() -> None:
    limits = {"close_timeout_seconds": 0.3}
    with (
        serving(drain_seconds=0.2, limits=limits, application_close_seconds=0.3) as server,
        server.upgrade("stubborn?key=x") as raw,
    ):
        await asyncio.to_thread(read_head, raw)
        server.terminate()
        assert server.wait(5) == 0


def test_a_drain_of_nobody_ends_at_once() -> None:
    with serving(drain_seconds=60.0) as server:
        server.get("ready")
        server.terminate()
        assert server.wait(2) == 0
