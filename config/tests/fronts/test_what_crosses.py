"""What clients send and hear through each proxy of deploy/proxies, over TLS, from two real gateways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import issue
from config.tests.fronts.conftest import Stack
from proxy import registry

BIG = 900_000


def opened(stack: Stack, user: str) -> dict[str, Any]:
    """What either gateway has logged of the one link of `user`."""
    (found,) = lines_of(stack, user)
    return found


def lines_of(stack: Stack, user: str) -> Iterator[dict[str, Any]]:
    for node in stack.nodes:
        for line in node.program.output.splitlines():
            if '"link opened"' in line and json.loads(line)["user_id"] == user:
                yield json.loads(line)


@pytest.mark.parametrize("path", ["/ws/experience", "/ws", "/websocket"])
async def test_texts_and_binaries_come_back(stack: Stack, path: str) -> None:
    async with asyncio.timeout(20), stack.connect(path) as client:
        for message in ("hello", b"\x00\xff", "é" * 1000):
            await client.send(message)
            assert await client.recv() == message


async def test_compressed_messages_come_back(stack: Stack) -> None:
    async with asyncio.timeout(20), stack.connect(compression="deflate") as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        for message in ("a" * 10_000, "a" * 10_000):
            await client.send(message)
            assert await client.recv() == message


async def test_a_big_message_comes_back(stack: Stack) -> None:
    async with asyncio.timeout(20), stack.connect() as client:
        await client.send(b"x" * BIG)
        assert await client.recv() == b"x" * BIG


async def test_the_services_close_comes_with_code_and_reason(stack: Stack) -> None:
    async with asyncio.timeout(20), stack.connect() as client:
        await client.send("please close 4321 room closed")
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4321, "room closed")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9"])
async def test_the_gateway_knows_the_clients_address_whatever_the_client_says(
    stack: Stack, address: str, request: pytest.FixtureRequest
) -> None:
    """127.0.0.1 is the proxy's own, which the gateway trusts: what stood left of it would be believed."""
    user = request.node.name
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",  # not one of ALLOWED_HOSTS: passed on, it would be a 400
        "X-Forwarded-Proto": "gopher",
        "X-Request-Id": "theirs",
    }
    async with asyncio.timeout(20):
        async with stack.connect(user=user, additional_headers=forged, local_addr=(address, 0)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"

    assert opened(stack, user)["client_address"] == address
    assert opened(stack, user)["request_id"] != "theirs"


async def test_the_answer_to_an_upgrade_says_exactly_upgrade(stack: Stack) -> None:
    """Unity's client refuses a Connection header with anything else in it."""
    async with asyncio.timeout(20), stack.connect() as client:
        assert client.response is not None
        assert client.response.headers["Connection"].lower() == "upgrade"


async def test_who_is_refused_is_told_by_the_gateway(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with asyncio.timeout(20), stack.connect_with(issue(key="f" * 64)):
            pass

    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["code"]) == (401, "authentication_failed")


async def code_of(stack: Stack, path: str) -> str:
    """What the gateway answers to a handshake there: "accepted", or the code of a refusal."""
    try:
        async with asyncio.timeout(20), stack.connect(path, user="visitor"):
            return "accepted"
    except InvalidStatus as refused:
        return str(json.loads(refused.response.body or b"")["code"])


async def test_every_path_of_every_route_reaches_a_gateway(stack: Stack) -> None:
    """Accepted, or refused with a code of the gateway's own."""
    paths = [path for route in registry.routes() for path in route.paths]
    assert len(paths) >= 7
    for path in paths:
        there = "/" + path.replace("<", "").replace(">", "").replace(":", "-")
        assert await code_of(stack, there), path


async def test_pages_come_over_tls_and_the_gateway_knows_it(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=f"https://{stack.front.host}", verify=stack.front.trust) as browser:
        page = await browser.get("/admin/login/", headers={"X-Forwarded-Proto": "http"})
        health, ready = await browser.get("/health"), await browser.get("/ready")
        chat_page, api = await browser.get("/chat/"), await browser.get("/api/chat/conversations")
        metrics = await browser.get("/metrics")

    assert (page.status_code, health.status_code, ready.status_code) == (200, 200, 200)
    assert page.headers["Strict-Transport-Security"]
    assert "Secure" in page.headers["Set-Cookie"]
    assert {chat_page.status_code, api.status_code} <= {200, 401, 404}
    assert metrics.status_code == 404
    assert "Content-Security-Policy" not in metrics.headers  # the proxy's own answer


async def test_plain_http_is_sent_to_https(stack: Stack) -> None:
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(f"http://127.0.0.1:{stack.front.plain_port}/admin/?q=1")

    assert answer.status_code == 301
    location = urlsplit(answer.headers["Location"])  # HAProxy leaves a port as the client said it
    assert (location.scheme, location.hostname) == ("https", "127.0.0.1")
    assert (location.path, location.query) == ("/admin/", "q=1")


async def test_a_line_that_the_gateway_takes_crosses_and_what_is_too_much_does_not(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=f"https://{stack.front.host}", verify=stack.front.trust) as browser:
        assert (await browser.get("/health?token=" + "x" * 15_000)).status_code == 200
        assert (await browser.get("/health", headers={"Authorization": "x" * 15_000})).status_code == 200
        assert (await browser.get("/health?token=" + "x" * 40_000)).status_code in {400, 414}
        assert (await browser.post("/admin/login/", content=b"x" * 2_000_000)).status_code == 413
