"""Clients that send something and reset at once: each leaves nothing behind, on whatever loop.

libuv tells of a reset as of an error of the socket, whatever is still to be read, and uvloop then watches the
socket no more.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.server.tests.conftest import RunningServer, frame, read_all, read_head, serving, upgrade_request

RESETS = 100
DEADLINE_SECONDS = 15.0
OWN_FILES = 3  # of this test's own requests, some of which the server may not have closed yet
CLOSE_RESETS = b"\1\0\0\0\0\0\0\0"


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def patient(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server whose deadlines do not come to the rescue."""
    with serving(
        loop=request.param,
        drain_seconds=0.1,
        head_timeout_seconds=300.0,
        body_timeout_seconds=300.0,
        http_timeout_seconds=300.0,
        connect_timeout_seconds=300.0,
        application_close_seconds=0.5,
        max_http_connections_per_address=10_000,
        max_http_connections=10_000,
        max_http_requests=10_000,
        max_http_requests_per_address=10_000,
    ) as running:
        running.get("memory")
        yield running


def sent(data: bytes) -> Callable[[RunningServer], socket.socket]:
    def connect(server: RunningServer) -> socket.socket:
        raw = server.connect()
        raw.sendall(data)
        return raw

    return connect


def relayed(server: RunningServer) -> socket.socket:
    raw = server.upgrade(f"splice?to=ws://127.0.0.1:{server.port}/echo")
    read_head(raw)
    raw.sendall(frame(1, b"x" * 100))
    return raw


def get(path: str) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


KINDS = {
    "part of a head": sent(b"GET /ws?x HTTP/1.1\r\nHost: lo"),
    "a whole head": sent(get("counts")),
    "several heads": sent(get("counts") * 20),
    "a head that is refused": sent(b"GET x y z\r\nHost: x\r\n\r\n"),
    "a request for an answer without end": sent(get("stream")),
    "a request for megabytes": sent(get("big")),
    "half a body": sent(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"),
    "an upgrade": sent(upgrade_request("vanish")),
    "an upgrade that is refused": sent(upgrade_request("deny?status=403")),
    "an upgrade that no header asked for": sent(b"GET /echo HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
    "a message on a relayed link": relayed,
}


@pytest.mark.parametrize("kind", KINDS)
def test_who_sends_and_resets_leaves_no_file_open_and_no_failure_in_the_log(
    patient: RunningServer, kind: str
) -> None:
    begin = KINDS[kind]
    before = patient.get("memory")["files"]
    log_before = len(patient.log())
    for _ in range(20 if kind == "a request for megabytes" else RESETS):
        with begin(patient) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_RESETS)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (files := patient.get("memory")["files"]) > before + OWN_FILES and time.monotonic() < deadline:
        patient.get("counts")
    assert files <= before + OWN_FILES
    said = patient.log()[log_before:]
    assert not [line for line in said.splitlines() if line.startswith(("CRITICAL", "ERROR", "Traceback"))]


def test_an_answer_whose_application_fails_in_the_middle_is_cut_and_told_in_one_line(
    patient: RunningServer,
) -> None:
    log_before = len(patient.log())
    with patient.connect() as raw:
        raw.sendall(get("begin-and-raise"))
        received = b""
        with contextlib.suppress(ConnectionResetError):  # which may overtake what was sent
            received = read_all(raw)
    assert not received.endswith(b"0\r\n\r\n")
    failures = [
        line for line in patient.log()[log_before:].splitlines() if line.startswith(("CRIT", "ERROR"))
    ]
    assert failures == ["ERROR gateway.server application failed "]
