"""deploy/nginx.conf in a real nginx, its addresses exchanged for those of the test."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from config.testing.servers import NginxServer

CONF = (Path(__file__).resolve().parent.parent.parent / "deploy" / "nginx.conf").read_text()
StartNginx = Callable[[str], NginxServer]


class Node:
    """A stand-in for a gateway: echoes over WebSockets, remembers the handshakes it saw."""

    def __init__(self, *, status: HTTPStatus | None = None) -> None:
        self.requests: list[Request] = []
        self._status = status

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return connection.respond(self._status, "") if self._status else None

    @contextlib.contextmanager
    def listening(self) -> Iterator[int]:
        with serve(_echo, "127.0.0.1", 0, process_request=self.process_request) as server:
            thread = threading.Thread(target=server.serve_forever, name="node", daemon=True)
            thread.start()
            yield _port(server)
            server.shutdown()
            thread.join(5)


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def _port(server: Server) -> int:
    port: int = server.socket.getsockname()[1]
    return port


def conf_for(ports: list[int], log: Path) -> str:
    """The inside of `http { … }`, listening on the fixture's port, with the gateways on `ports`."""
    inside = re.search(r"^http \{\n(.*)^\}", CONF, re.MULTILINE | re.DOTALL)
    assert inside is not None
    text = inside[1].replace("listen 80 ", "listen 127.0.0.1:{port} ").replace("/dev/stdout", str(log))
    for number, port in enumerate(ports, start=1):
        text = text.replace(f"gateway-{number}:8666", f"127.0.0.1:{port}")
    return text.replace("error_log /dev/stderr warn;", "")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_websockets_cross_with_what_the_gateway_needs_and_no_token_is_logged(
    nginx: StartNginx, log: Path
) -> None:
    node = Node()
    with node.listening() as port:
        server = nginx(conf_for([port, port], log))
        url = f"ws://127.0.0.1:{server.port}/ws/experience?token=secret&experience=e"
        with connect(url, additional_headers={"X-Forwarded-For": "6.6.6.6"}, proxy=None) as client:
            client.send("hello")
            echoed = client.recv(5)
        server.stop()

    (request,) = node.requests
    assert echoed == "hello"
    assert request.path == "/ws/experience?token=secret&experience=e"
    assert request.headers["X-Forwarded-For"] == "6.6.6.6, 127.0.0.1"
    assert request.headers["X-Forwarded-Host"] == f"127.0.0.1:{server.port}"
    assert len(request.headers["X-Request-Id"]) == 32
    assert "GET /ws/experience" in log.read_text()
    assert "secret" not in log.read_text()


def test_a_draining_gateways_clients_reach_the_other_one(nginx: StartNginx, log: Path) -> None:
    draining, other = Node(status=HTTPStatus.SERVICE_UNAVAILABLE), Node()
    with draining.listening() as first, other.listening() as second:
        server = nginx(conf_for([first, second], log))
        for _ in range(4):
            with connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as client:
                client.send("hello")
                assert client.recv(5) == "hello"

    assert len(draining.requests) >= 1
    assert len(other.requests) == 4


def test_metrics_stay_inside(nginx: StartNginx, log: Path) -> None:
    node = Node()
    with node.listening() as port:
        server = nginx(conf_for([port, port], log))
        assert httpx.get(f"{server.url}/metrics").status_code == 404

    assert node.requests == []


def test_the_answer_to_an_upgrade_says_exactly_upgrade(nginx: StartNginx, log: Path) -> None:
    """Unity's client refuses a Connection header with anything else in it."""
    headers = Headers(Upgrade="websocket", Connection="Upgrade")
    headers["Sec-WebSocket-Version"], headers["Sec-WebSocket-Key"] = "13", "dGhlIHNhbXBsZSBub25jZQ=="
    with Node().listening() as port:
        server = nginx(conf_for([port, port], log))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/ws", headers=dict(headers.raw_items()))
            answer = connection.getresponse()

    assert answer.status == 101
    assert (answer.headers["Connection"] or "").lower() == "upgrade"
