"""What clients notice behind each proxy when one of two gateways, or a route's service, goes."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from config.tests.fronts.conftest import Behind, Stack, users_on

AT_ONCE_SECONDS = 2.0  # on a machine that does other things beside


async def play(client: ClientConnection) -> None:
    await client.send("hello")
    assert await client.recv() == "hello"


@pytest.mark.timing
async def test_a_node_is_killed_and_newcomers_are_with_the_other_at_once(stack: Stack) -> None:
    stack.nodes[0].program.kill()
    for number in range(6):
        began = time.monotonic()
        async with asyncio.timeout(20), stack.connect(user=f"newcomer-{number}") as client:
            await play(client)
        assert time.monotonic() - began < AT_ONCE_SECONDS


async def test_a_drain_tells_its_clients_and_they_come_back_on_the_other(stack: Stack) -> None:
    leaving, staying = stack.nodes
    async with asyncio.timeout(60), AsyncExitStack() as open_links:
        clients = {
            name: await open_links.enter_async_context(stack.connect(user=name))
            for name in (f"guest-{number}" for number in range(8))
        }
        drained = clients.keys() & users_on(leaving)
        assert 0 < len(drained) < len(clients)
        stop = asyncio.create_task(leaving.stop(), name="stop")
        for name in drained:
            await clients[name].wait_closed()
            assert clients[name].close_code == 1001
            assert "retry in" in (clients[name].close_reason or "")
            await play(await open_links.enter_async_context(stack.connect(user=name)))
        assert await stop == 0
        for name in clients.keys() - drained:
            await play(clients[name])
    assert clients.keys() <= users_on(staying)


async def test_what_is_wrong_with_one_route_takes_no_node_out(stack: Stack, behind: Behind) -> None:
    """The KB is away, and its route a 503 of either gateway, which comes as the gateway has said it."""
    behind.kb.kill()
    artists = {f"artist-{number}" for number in range(8)}
    async with asyncio.timeout(60), AsyncExitStack() as open_links:
        for artist in artists:
            with pytest.raises(InvalidStatus) as refused:
                async with stack.connect("/ws/experience"):
                    pass
            answer = refused.value.response
            told = (answer.status_code, json.loads(answer.body or b"")["code"])
            assert told == (503, "upstream_unavailable")
            assert answer.headers["Retry-After"]
            await play(await open_links.enter_async_context(stack.connect(user=artist)))

    assert all(users_on(node) & artists for node in stack.nodes)
