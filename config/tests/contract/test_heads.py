"""Heads that are not clean end as the client's own fault: no service is dialled, nobody else is refused."""

from __future__ import annotations

import asyncio
import socket

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway
from proxy.server.tests.conftest import read_head, upgrade_request


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


def ask(gateway: Gateway, *headers: str, hosts: tuple[str, ...] | None = None) -> int:
    """The status of a handshake on a raw socket."""
    path = gateway.url().partition(f":{gateway.port}/")[2]
    hosts = (f"127.0.0.1:{gateway.port}",) if hosts is None else hosts
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
        raw.sendall(upgrade_request(path, *headers, hosts=hosts))
        return read_head(raw)[0]


@pytest.mark.parametrize(
    "header",
    [
        "User-Agent: a\x01b",
        "User-Agent: a\x85X-User-Id: 1",
        "Sec-WebSocket-Protocol: foo bar",
        "Sec-WebSocket-Protocol: a\x01b",
    ],
)
async def test_a_head_that_is_not_clean_is_refused_and_never_blamed_on_a_member(
    gateway: Gateway, header: str
) -> None:
    dialled = []

    async def look(upstream: ServerConnection) -> None:
        dialled.append(upstream)
        await echo(upstream)

    async with gateway.serving(look) as url, asyncio.timeout(20):
        statuses = [await asyncio.to_thread(ask, gateway, header) for _ in range(5)]
        assert not dialled
        async with gateway.connect(url) as client:
            await client.send("let in")
            assert await client.recv() == "let in"
    assert set(statuses) <= ({400} if gateway.kind == "serve" else {400, 403})
    assert "Traceback" not in gateway.program.output


async def test_a_cookie_in_any_language_keeps_nobody_out(gateway: Gateway) -> None:
    """ "Å" is 0xC3 0x85, and 0x85 a line break to who decodes Latin-1; stock Daphne refuses it for that."""
    cookie = "Cookie: city=Ålesund…".encode().decode("latin-1")
    async with gateway.serving(echo), asyncio.timeout(30):
        status = await asyncio.to_thread(ask, gateway, cookie)
    assert status == (101 if gateway.kind == "serve" else 400)


@pytest.mark.parametrize(
    "hosts",
    [
        *(("evil.example",), ("x@evil.example",), ("127.0.0.1@evil.example",), ("evil.example/127.0.0.1",)),
        *(("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "evil.example"), ()),
    ],
)
async def test_a_page_whose_name_is_made_to_resolve_to_us_gets_no_socket(
    gateway: Gateway, hosts: tuple[str, ...]
) -> None:
    origin = f"Origin: http://{hosts[0]}" if hosts else "Origin: http://evil.example"
    async with gateway.serving(echo), asyncio.timeout(30):
        status = await asyncio.to_thread(ask, gateway, origin, hosts=hosts)
    assert status in ({400} if gateway.kind == "serve" else {400, 403})
