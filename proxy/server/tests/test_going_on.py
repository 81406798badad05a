"""An application that has accepted and lets another coroutine go on in its place."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from proxy.server.tests.conftest import RunningServer, serving


@pytest.mark.parametrize("then", ["return", "raise"])
async def test_the_client_is_served_on_whatever_becomes_of_who_accepted_it(
    server: RunningServer, then: str
) -> None:
    url = server.url(f"go-on?then={then}&key=went-on-{then}")
    async with asyncio.timeout(30), connect(url, proxy=None) as client:
        for text in ("first", "second"):
            await client.send(text)
            assert await client.recv() == text
        await client.close(4321, "enough")
    event = await server.seen(f"went-on-{then}")
    assert (event["code"], event["reason"]) == (4321, "enough")


@pytest.mark.parametrize(("how", "code"), [("return", 1000), ("raise", 1011)])
async def test_the_link_ends_with_what_goes_on(server: RunningServer, how: str, code: int) -> None:
    async with asyncio.timeout(30), connect(server.url("go-on"), proxy=None) as client:
        await client.send(how)
        await client.wait_closed()
    assert client.close_code == code


async def test_a_drain_waits_for_what_goes_on() -> None:
    with serving(drain_seconds=0.2) as server:
        async with asyncio.timeout(30), connect(server.url("go-on"), proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            server.terminate()
            await client.wait_closed()
        assert client.close_code == 1001
        assert server.wait() == 0
