"""Crowds of slow or silent HTTP clients: everybody else still gets in."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.asyncio.client import connect

from proxy.server.tests.conftest import RunningServer, read_all, read_head, serving

pytestmark = [pytest.mark.timing, pytest.mark.long]

SMALL = {"max_http_connections": 20, "max_http_connections_per_address": 8, "max_http_requests": 4}


@pytest.fixture
def small() -> Iterator[RunningServer]:
    """A server that takes few connections; loopback has addresses enough to be many clients."""
    with serving(drain_seconds=0.1, head_timeout_seconds=60.0, body_timeout_seconds=60.0, **SMALL) as running:
        yield running


def connect_from(server: RunningServer, host: str, sent: bytes = b"") -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=(host, 0))
    raw.sendall(sent)
    return raw


def is_hung_up_on(raw: socket.socket) -> bool:
    """Whether the server has ended it. Ask only after it has answered somebody who came later."""
    raw.setblocking(False)
    try:
        return raw.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        raw.setblocking(True)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
    ],
    ids=["silent", "dripping a head", "dripping a body"],
)
async def test_a_crowd_without_requests_locks_nobody_out_and_its_oldest_give_way(
    small: RunningServer, sent: bytes
) -> None:
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(connect_from(small, f"127.0.1.{number % 10}", sent)) for number in range(60)
        ]
        for _ in range(5):
            async with asyncio.timeout(5), connect(small.url("echo"), proxy=None) as client:
                await client.send("let in")
                assert await client.recv() == "let in"
        assert (await small.ask("counts"))["rejections_total silent"] >= 40
        ended = [is_hung_up_on(raw) for raw in crowd]
    assert all(ended[:40])
    assert not all(ended[40:])
    assert small.log().count("too many connections without a request") == 1


async def test_one_address_alone_ends_its_own_oldest_and_nobody_elses(small: RunningServer) -> None:
    with connect_from(small, "127.0.2.1") as patient, ExitStack() as stack:
        crowd = [stack.enter_context(connect_from(small, "127.0.2.2")) for _ in range(30)]
        await small.ask("counts")
        assert [is_hung_up_on(raw) for raw in crowd] == [True] * 22 + [False] * 8
        assert not is_hung_up_on(patient)
        patient.sendall(b"GET /counts HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.to_thread(read_head, patient))[0] == 200


async def test_slow_requests_keep_no_socket_out_and_further_requests_are_told_to_come_back(
    small: RunningServer,
) -> None:
    request = b"GET /seen?key=crowd HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as stack:
        slow = [stack.enter_context(connect_from(small, f"127.0.3.{n}", request)) for n in range(4)]
        with small.connect() as raw:
            raw.sendall(b"GET /counts HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, _ = await asyncio.to_thread(read_head, raw)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "2", "close")
        for raw in slow:  # each client that is let in and leaves is the event that one of them waits for
            async with asyncio.timeout(5), connect(small.url("echo?key=crowd"), proxy=None) as client:
                await client.send("let in")
                assert await client.recv() == "let in"
            assert (await asyncio.to_thread(read_head, raw))[0] == 200


def statuses(*crowd: socket.socket) -> list[int]:
    return [read_head(raw)[0] for raw in crowd]


def wait_for_count(server: RunningServer, wanted: int, *words: str) -> dict[str, int]:
    """The counts, once those of `words` add up to `wanted`."""
    until = time.monotonic() + 20
    while sum((counts := server.get("counts")).get(word, 0) for word in words) < wanted:
        assert time.monotonic() < until, counts
    return dict(counts)


SLOW = b"GET /slow?key=crowd HTTP/1.1\r\nHost: x\r\n\r\n"
PLACES = {
    "max_http_requests": 6,
    "max_http_requests_per_address": 4,
    "probe_paths": ["/counts", "/open-gate"],
}


def test_who_asks_and_hangs_up_runs_no_more_applications_than_who_waits() -> None:
    with serving(drain_seconds=0.1, application_close_seconds=60.0, **PLACES) as server:
        for _ in range(30):
            connect_from(server, "127.0.4.1", SLOW).close()
        counts = wait_for_count(server, 30, "slow", "rejections_total http_per_address")
        assert (counts["slow"], counts["rejections_total http_per_address"]) == (4, 26)
        with connect_from(server, "127.0.4.1", SLOW) as raw:
            told = refusal_of(raw, b"HTTP/1.1 429 Too Many Requests\r\n")
        assert told == {
            "code": "too_many",
            "message": "Too many HTTP requests of one address at once: at most 4.",
            "retry_after_ms": 1000,
            "bound": "http_per_ip",
        }

        for _ in range(30):
            connect_from(server, "127.0.4.2", SLOW).close()
        counts = wait_for_count(server, 34, "slow", "rejections_total http_overloaded")
        assert (counts["slow"], counts["rejections_total http_overloaded"]) == (6, 28)
        with connect_from(server, "127.0.4.3", SLOW) as raw:
            assert refusal_of(raw, b"HTTP/1.1 503 Service Unavailable\r\n")["code"] == "overloaded"

        for _ in range(6):
            server.get("open-gate?key=crowd")
        wait_for_count(server, 6, "slow_ended")
        with connect_from(server, "127.0.4.1", SLOW) as raw:
            server.get("open-gate?key=crowd")
            assert statuses(raw) == [200]


def refusal_of(raw: socket.socket, status_line: bytes) -> dict[str, object]:
    """The JSON of the one answer, behind which the server closes."""
    received = read_all(raw)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(status_line)
    for header in (b"Content-Type: application/json", b"Retry-After: ", b"Connection: close"):
        assert header in head
    told: dict[str, object] = json.loads(body)
    return told


def test_one_address_takes_a_share_of_the_places_and_probes_are_answered_when_all_are_taken() -> None:
    with serving(drain_seconds=0.1, **PLACES) as server, ExitStack() as stack:
        greedy = [stack.enter_context(connect_from(server, "127.0.5.1", SLOW)) for _ in range(5)]
        wait_for_count(server, 1, "rejections_total http_per_address")
        others = [stack.enter_context(connect_from(server, "127.0.5.2", SLOW)) for _ in range(3)]
        wait_for_count(server, 1, "rejections_total http_overloaded")
        for host in ("127.0.5.1", "127.0.5.2", "127.0.5.3"):
            with connect_from(server, host, b"GET /counts HTTP/1.1\r\nHost: x\r\n\r\n") as probe:
                assert statuses(probe) == [200]
        for _ in range(6):
            server.get("open-gate?key=crowd")
        assert sorted(statuses(*greedy, *others)) == [200] * 6 + [429, 503]


def test_an_address_that_asks_nothing_but_probes_has_its_share_of_the_loop_and_no_more() -> None:
    """All are answered, in their turn; who else asks is served meanwhile."""
    asked = b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(drain_seconds=0.1, probe_paths=["/pid"], probes_per_second_per_address=20) as server:
        server.get("counts")
        began = time.monotonic()
        with connect_from(server, "127.0.8.1", asked * 40) as pipelined, ExitStack() as stack:
            kept_alive = [stack.enter_context(connect_from(server, "127.0.8.1", asked)) for _ in range(20)]
            with connect_from(server, "127.0.8.2", asked) as neighbour:
                assert statuses(neighbour) == [200]
            assert statuses(*kept_alive) == [200] * 20
            received = b""
            while received.count(b"HTTP/1.1 200 ") < 40:
                received += pipelined.recv(65536)
        assert time.monotonic() - began > (60 - 20) / 20 - 0.1


def test_requests_through_a_trusted_proxy_count_for_the_clients_that_it_names() -> None:
    def through_proxy(client: str) -> bytes:
        named = f"X-Forwarded-For: {client}\r\n" if client else ""
        return SLOW.replace(b"\r\n\r\n", f"\r\n{named}\r\n".encode())

    with serving(drain_seconds=0.1, proxies=["127.0.6.0/24"], **PLACES) as server, ExitStack() as stack:
        for client in ["192.0.2.1"] * 5 + [""] * 2:
            stack.enter_context(connect_from(server, "127.0.6.1", through_proxy(client)))
        counts = wait_for_count(
            server, 7, "slow", "rejections_total http_per_address", "rejections_total http_overloaded"
        )
        assert (counts["slow"], counts["rejections_total http_per_address"]) == (6, 1)
        server.terminate()
        server.terminate()  # nobody opens the gate


def test_a_crowd_that_asks_at_once_is_served_to_the_last_however_long_it_had_to_wait() -> None:
    """All come back from one address after a restart; none is silent, though none has been read yet."""
    with serving(drain_seconds=0.1) as server, ExitStack() as stack:
        server.get("counts")
        server.process.send_signal(signal.SIGSTOP)
        crowd = [stack.enter_context(server.upgrade("echo")) for _ in range(700)]
        server.process.send_signal(signal.SIGCONT)
        assert {read_head(raw)[0] for raw in crowd} == {101}
        assert "rejections_total silent" not in server.get("counts")


BIG = b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_who_does_not_read_an_answer_is_ended_by_a_deadline() -> None:
    limits = {"close_timeout_seconds": 0.3}
    with (
        serving(drain_seconds=0.1, head_timeout_seconds=0.3, limits=limits) as server,
        server.connect() as raw,
    ):
        raw.sendall(BIG)
        ended = select.poll()
        ended.register(raw, 0)  # errors only: a reset
        assert ended.poll(10_000)


def test_a_slow_reader_gets_all_of_its_answer() -> None:
    """Longer than the deadline, and longer than the time that a forced close would leave."""
    limits = {"close_timeout_seconds": 0.3}
    with (
        serving(drain_seconds=0.1, head_timeout_seconds=1.0, limits=limits) as server,
        server.connect() as raw,
    ):
        raw.sendall(BIG)
        received = 0
        while chunk := raw.recv(1 << 16):
            received += len(chunk)
            time.sleep(len(chunk) / 5_000_000)  # what makes it slow
    assert received > 20_000_000
