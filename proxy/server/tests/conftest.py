"""A server process of our own for each set of options, on a socket that the test has bound."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pytest

from config.testing.starts import popen


class RunningServer:
    """One server process. Clients may connect at once: the socket listened before the process began."""

    def __init__(self, *command: str, listening: socket.socket, output: IO[str], log: IO[str]) -> None:
        self.port = listening.getsockname()[1]
        self._output, self._log = output, log
        argv = [sys.executable, *command]
        self.process = popen(argv, env={}, stdout=output, stderr=log, fds=[listening.fileno()])

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}/{path.lstrip('/')}"

    def get(self, path: str) -> Any:
        """The JSON answer to a GET."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as response:
            return json.load(response)

    async def ask(self, path: str) -> Any:
        """`get`, without blocking the loop."""
        return await asyncio.to_thread(self.get, path)

    async def seen(self, key: str) -> dict[str, Any]:
        """What the application reported under `key`, waiting for it."""
        return await self.ask(f"seen?key={key}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def upgrade(self, path: str, *extra_headers: str, then: bytes = b"") -> socket.socket:
        """A raw socket that has sent an upgrade request, and `then` in the same segment."""
        raw = self.connect()
        raw.sendall(upgrade_request(path, *extra_headers) + then)
        return raw

    def output(self) -> str:
        self._output.seek(0)
        return self._output.read()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_seconds: float = 20) -> int:
        return self.process.wait(timeout_seconds)


def upgrade_request(path: str, *extra_headers: str, hosts: Sequence[str] = ("gateway",)) -> bytes:
    lines = [
        f"GET /{path} HTTP/1.1",
        *(f"Host: {host}" for host in hosts),
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *extra_headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read_head(raw: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and what came after them."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = raw.recv(65536)
        assert chunk, f"closed after {received!r}"
        received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, rest


def read_all(raw: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while chunk := raw.recv(65536):
        received += chunk
    return received


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(payload) < 126:
        return head + bytes([0x80 | len(payload)]) + bytes(4) + payload
    if len(payload) < 65536:
        return head + b"\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload
    return head + b"\xff" + len(payload).to_bytes(8, "big") + bytes(4) + payload


@contextmanager
def serving(**options: Any) -> Iterator[RunningServer]:
    """Options are ServerOptions' fields; `limits` is a dictionary of LinkLimits'."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4096) as listening,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as log,
    ):
        # Small, so that few bytes hide in the kernel; accepted sockets inherit it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        fd = str(listening.fileno())
        command = ["-m", "proxy.server.tests.serve", fd, json.dumps(options)]
        server = RunningServer(*command, listening=listening, output=output, log=log)
        listening.close()
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.terminate()
                server.terminate()
                try:
                    server.wait(5)
                except subprocess.TimeoutExpired:
                    server.process.kill()
            server.wait()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """The server that most tests share, with short deadlines."""
    limits = {
        "close_timeout_seconds": 1.0,
        "slow_consumer_seconds": 1.5,
        "max_message_bytes": 100_000,
    }
    with serving(
        limits=limits,
        sweep_seconds=0.05,
        head_timeout_seconds=1.5,
        body_timeout_seconds=1.5,
        connect_timeout_seconds=2.0,
        application_close_seconds=0.5,
        drain_seconds=0.1,
    ) as running:
        yield running
