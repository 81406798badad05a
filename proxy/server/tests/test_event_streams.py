"""Streams of events: they last, they have a bound of their own, and who does not read one loses it."""

from __future__ import annotations

import time
import urllib.error
from contextlib import suppress
from socket import socket

import pytest

from proxy.server.event_streams import EventStream
from proxy.server.options import ServerOptions
from proxy.server.tests.conftest import RunningServer, read_head, serving


def events(server: RunningServer, *, first_bytes: int = 0) -> socket:
    """A connection whose answer has begun."""
    raw = server.connect()
    raw.sendall(f"GET /events?first={first_bytes} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert read_head(raw)[0] == 200
    return raw


def ended(server: RunningServer) -> int:
    """How many have, once there is room to ask."""
    while True:
        with suppress(urllib.error.HTTPError):
            return int(server.get("counts").get("events_ended", 0))


@pytest.mark.long
def test_a_stream_lasts_beside_requests_and_one_too_many_is_a_request_with_its_deadline() -> None:
    with serving(
        http_timeout_seconds=1.0,
        application_close_seconds=0.5,
        max_http_requests_per_address=1,
        max_http_streams=2,
    ) as server:
        with events(server) as one, events(server) as two:
            server.get("counts")  # for which there is room
            with events(server) as third:
                with pytest.raises(urllib.error.HTTPError, match="429"):
                    server.get("counts")
                while not third.recv(1000).endswith(b"0\r\n\r\n"):  # ended by the deadline
                    pass
            for raw in (one, two):
                lasts_until = time.monotonic() + 2  # the others' deadline, and a turn of its clock
                while time.monotonic() < lasts_until:
                    assert raw.recv(1000)
        while ended(server) != 3:
            pass


@pytest.mark.long
@pytest.mark.timing
def test_who_reads_nothing_of_a_stream_loses_it() -> None:
    with serving(stream_stall_seconds=0.5, max_stream_bytes=1 << 30, application_close_seconds=0.5) as server:
        with events(server, first_bytes=50_000_000) as silent, events(server) as reader:
            while not ended(server):
                assert reader.recv(1000)
            assert silent.fileno() >= 0
            assert reader.recv(1000)
            assert ended(server) == 1


def stalled(*told: tuple[float, int, int]) -> list[bool]:
    """Whether a stream is, at each time, of so many bytes written and unsent."""
    stream = EventStream(ServerOptions(stream_stall_seconds=15, max_stream_bytes=1000), now=0)
    return [stream.is_stalled(written, unsent, now=now) for now, written, unsent in told]


def test_a_stream_is_stalled_after_some_seconds_without_progress_however_slow_that_is() -> None:
    assert stalled((100, 50, 0), (114, 600, 500), (116, 600, 500)) == [False, False, False]
    assert stalled((10, 600, 500), (24, 700, 599), (38, 800, 698)) == [False, False, False]
    assert stalled((10, 600, 500), (24, 700, 600), (25, 800, 700)) == [False, False, True]


def test_a_stream_of_which_too_much_waits_is_stalled_at_once() -> None:
    assert stalled((1, 900, 900), (2, 1001, 1001)) == [False, True]
