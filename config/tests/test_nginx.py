"""The file of docker-compose.yml in a real nginx: what crosses, what it logs, where it finds the gateways."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from config.testing.front import STARTED_PATH, Front, replaced
from config.testing.program import free_port

StartFront = Callable[..., Front]
LEVELS = ("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")


class Node:
    """A stand-in for a gateway: echoes over WebSockets, remembers the handshakes it saw."""

    def __init__(self, *, status: HTTPStatus | None = None) -> None:
        self.requests: list[Request] = []
        self._status = status

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != STARTED_PATH:
            self.requests.append(request)
        return connection.respond(self._status, "") if self._status else None

    @contextlib.contextmanager
    def listening(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[tuple[str, int]]:
        """Yields where."""
        with serve(_echo, *address, process_request=self.process_request) as server:
            thread = threading.Thread(target=server.serve_forever, name="node", daemon=True)
            thread.start()
            yield server.socket.getsockname()
            server.shutdown()
            thread.join(5)


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextlib.contextmanager
def who_is_at(host: str, port: int) -> Iterator[int]:
    """A stand-in for a gateway that answers its own address; yields the port."""
    with http.server.ThreadingHTTPServer((host, port), _AnswersItsAddress) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="who", daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(5)


class _AnswersItsAddress(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host = self.connection.getsockname()[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(host)))
        self.end_headers()
        self.wfile.write(host)

    def log_message(self, *_: object) -> None:
        pass


def wait_until(condition: Callable[[], bool], meaning: str, *, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {meaning}"
        time.sleep(0.02)


def workers(server: Front) -> set[int]:
    assert server.program is not None
    return {child.pid for child in psutil.Process(server.program.pid).children()}


def both(address: tuple[str, int]) -> dict[str, tuple[str, int]]:
    """Either gateway is the same one."""
    return {"gateway-1": address, "gateway-2": address}


def test_websockets_cross_with_what_the_gateway_needs(front: StartFront) -> None:
    node = Node()
    with node.listening() as address:
        server = front(both(address), is_outermost=True)
        url = f"ws://127.0.0.1:{server.port}/ws/experience?token=secret&experience=e"
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "X-Request-Id": "theirs"}
        with connect(url, additional_headers=forged, proxy=None) as client:
            client.send("hello")
            assert client.recv(5) == "hello"

    (request,) = node.requests
    assert request.path == "/ws/experience?token=secret&experience=e"
    assert request.headers["X-Forwarded-For"] == "127.0.0.1"
    assert request.headers["X-Real-IP"] == "127.0.0.1"
    assert request.headers["X-Forwarded-Host"] == f"127.0.0.1:{server.port}"
    assert len(request.headers["X-Request-Id"]) == 32


def test_a_draining_gateways_clients_reach_the_other_one(front: StartFront) -> None:
    draining, other = Node(status=HTTPStatus.SERVICE_UNAVAILABLE), Node()
    with draining.listening() as first, other.listening() as second:
        server = front({"gateway-1": first, "gateway-2": second})
        for _ in range(4):
            with connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as client:
                client.send("hello")
                assert client.recv(5) == "hello"

    assert len(draining.requests) >= 1
    assert len(other.requests) == 4


def test_a_line_that_the_gateway_takes_crosses(front: StartFront) -> None:
    token = "x" * 15_000
    with who_is_at("127.0.0.1", 0) as port:
        server = front(both(("127.0.0.1", port)))
        assert httpx.get(f"{server.url}/ws?token={token}").status_code == 200
        assert httpx.get(f"{server.url}/ws", headers={"Authorization": token}).status_code == 200


def test_metrics_stay_inside(front: StartFront) -> None:
    node = Node()
    with node.listening() as address:
        assert httpx.get(f"{front(both(address)).url}/metrics").status_code == 404

    assert node.requests == []


def test_the_answer_to_an_upgrade_says_exactly_upgrade(front: StartFront) -> None:
    """Unity's client refuses a Connection header with anything else in it."""
    headers = Headers(Upgrade="websocket", Connection="Upgrade")
    headers["Sec-WebSocket-Version"], headers["Sec-WebSocket-Key"] = "13", "dGhlIHNhbXBsZSBub25jZQ=="
    with Node().listening() as address:
        server = front(both(address))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/ws", headers=dict(headers.raw_items()))
            answer = connection.getresponse()

    assert answer.status == 101
    assert (answer.headers["Connection"] or "").lower() == "upgrade"


# --- Its logs -----


def requests_that_go_wrong(server: Front) -> None:
    """Everything that nginx has something to say of, with a token in the request line or in the Referer."""
    line = "/ws/experience?token=s3cret&experience=e"
    referer = {"Referer": f"https://example.com{line}"}
    assert httpx.get(server.url + line, headers=referer).status_code == 502  # no gateway answers
    assert httpx.get(server.url + "/ws/experience%3Ftoken=s3cret").status_code == 502  # a "?" too many quoted
    assert httpx.get(server.url + "/ws/token=s3cret").status_code == 502
    for path in ("/ws/a%0atoken=s3cret", "/ws/%2574oken=s3cret", f"/ws/rest.of.{'s3cret' * 7}"):
        assert httpx.get(server.url + path).status_code == 502
    assert httpx.get(server.url + line + "x" * 40_000).status_code == 414
    assert httpx.post(server.url + line, content=b"x" * 2_000_000).status_code == 413
    for raw in (f"GET {line} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", f"GET {line} HTP\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(raw.encode())
            assert b" 400 " in client.recv(100)


def end_two_handshakes(gateway: socket.socket) -> None:
    for _ in range(2):
        gateway.accept()[0].close()


@pytest.mark.parametrize("level", LEVELS)
def test_no_token_is_in_any_log_at_any_level(front: StartFront, level: str) -> None:
    """Both of the file's error logs at that level; no gateway answers, then one ends in mid-handshake."""
    port = free_port()
    server = front(both(("127.0.0.1", port)))
    server.edit = lambda conf: re.sub(r"(error_log \S+) \w+;", rf"\1 {level};", conf)
    server.start_again()
    requests_that_go_wrong(server)
    with socket.create_server(("127.0.0.1", port)) as gateway:
        ends = threading.Thread(target=end_two_handshakes, args=(gateway,), name="ends")
        ends.start()
        assert httpx.get(f"{server.url}/ws?token=s3cret").status_code == 502
        ends.join(5)
    server.stop()

    assert '"GET /ws/experience" 502' in server.access_log
    assert '"GET /ws/experience[cut]" 502' in server.access_log
    assert "s3cret" not in server.access_log
    assert server.program is not None
    assert "s3cret" not in server.program.output


def test_what_is_switched_off_is_the_log_that_tokens_would_be_in(front: StartFront, tmp_path: Path) -> None:
    """Else the test before would look in the wrong place."""
    server = front(both(("127.0.0.1", free_port())))
    log = tmp_path / "talkative.log"
    server.edit = lambda conf: replaced(conf, "error_log /dev/null emerg;", f"error_log {log} error;")
    server.start_again()
    requests_that_go_wrong(server)

    assert "s3cret" in log.read_text()


# --- Where the gateways are -----


def answering(server: Front) -> str:
    """The gateway that answered; there must be one."""
    answer = httpx.get(f"{server.url}/who")
    assert answer.status_code == 200, server.access_log
    return answer.text


def test_a_container_that_was_made_again_is_found_at_its_new_address(front: StartFront) -> None:
    """And while nginx still has the old one, the other gateway answers in the same request."""
    with who_is_at("127.0.0.2", 0) as port, who_is_at("127.0.0.3", port):
        server = front({"gateway-1": ("127.0.0.2", port), "gateway-2": ("127.0.0.3", port)})
        wait_until(lambda: answering(server) == "127.0.0.2", "the first gateway to answer")
    with who_is_at("127.0.0.3", port), who_is_at("127.0.0.4", port):
        assert answering(server) == "127.0.0.3"
        server.names.addresses["gateway-1"] = "127.0.0.4"
        wait_until(lambda: answering(server) == "127.0.0.4", "the new address to be used")


def test_a_container_that_is_gone_costs_nothing_and_is_used_at_once_when_it_is_back(
    front: StartFront,
) -> None:
    with who_is_at("127.0.0.2", 0) as port, who_is_at("127.0.0.3", port):
        server = front({"gateway-1": ("127.0.0.2", port), "gateway-2": ("127.0.0.3", port)})
        del server.names.addresses["gateway-1"]
        wait_until(lambda: {answering(server) for _ in range(5)} == {"127.0.0.3"}, "the name to be gone")
        server.names.addresses["gateway-1"] = "127.0.0.2"
        wait_until(lambda: answering(server) == "127.0.0.2", "the first gateway to be back", seconds=5)


def test_a_reload_leaves_no_moment_without_gateways(front: StartFront) -> None:
    with who_is_at("127.0.0.2", 0) as port, who_is_at("127.0.0.3", port):
        server = front({"gateway-1": ("127.0.0.2", port), "gateway-2": ("127.0.0.3", port)})
        assert server.program is not None
        before = workers(server)
        server.reload()
        wait_until(lambda: bool(answering(server)) and not before & workers(server), "new workers alone")
