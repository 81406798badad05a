"""What operators ask is answered in front of Django, by whatever name or address they ask for it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from config.testing.gateway import Gateway
from config.tests.conftest import MakeGateway
from proxy.server.tests.conftest import read_all

PATHS = ("/health", "/ready", "/metrics")
TOKEN = "a metrics token of sixteen characters and more"


def ask(gateway: Gateway, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body, on a raw socket; no Host but those of `headers`."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
        raw.sendall(
            "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "Connection: close", "", ""]).encode()
        )
        head, _, body = read_all(raw).partition(b"\r\n\r\n")
        return int(head.split()[1]), body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "hosts", [("Host: 10.1.2.3:8666",), ("Host: x@evil.example",), (), ("Host: a", "Host: b")]
)
async def test_any_host_is_answered_and_no_traceback_is_logged(
    gateway: Gateway, path: str, hosts: tuple[str, ...]
) -> None:
    status, body = await asyncio.to_thread(ask, gateway, path, *hosts)
    assert status in {200, 503} if path == "/ready" else status == 200
    assert body
    assert "Traceback" not in gateway.program.output
    assert "Invalid HTTP_HOST" not in gateway.program.output


async def test_every_other_path_still_asks_for_an_allowed_host(gateway: Gateway) -> None:
    for path in ("/", "/admin/login/", "/health/", "/healthz"):
        assert (await asyncio.to_thread(ask, gateway, path, "Host: evil.example"))[0] == 400


@pytest.mark.parametrize("path", PATHS)
async def test_head_has_no_body_and_other_methods_are_refused(gateway: Gateway, path: str) -> None:
    status, body = await asyncio.to_thread(ask, gateway, path, method="HEAD")
    assert (status in {200, 503}, body) == (True, b"")
    assert (await asyncio.to_thread(ask, gateway, path, "Content-Length: 0", method="POST"))[0] == 405


@pytest.fixture(params=["daphne", "serve"])
def guarded(request: pytest.FixtureRequest, make_gateway: MakeGateway) -> Gateway:
    return make_gateway(request.param, METRICS_TOKEN=TOKEN)


def test_metrics_still_ask_for_their_token_whatever_the_host(guarded: Gateway) -> None:
    for headers in (
        (),
        ("Authorization: Bearer wrong",),
        (f"Authorization: {TOKEN}",),
        ("Authorization: \xff",),
    ):
        assert ask(guarded, "/metrics", "Host: 10.1.2.3", *headers)[0] == 401
    status, body = ask(guarded, "/metrics", "Host: 10.1.2.3", f"Authorization: Bearer {TOKEN}")
    assert status == 200
    assert b"gateway_websocket_connections" in body
