"""A client that says what it has heard: on every way that frames flow, and what its service reads of that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve

from proxy.core.routes import Forward, Upstream
from proxy.tests.world import World

TOLD = b'{"type":"gateway.recovered","recovered":false,"events":0,"reason":"unknown","since":"'


@pytest.mark.parametrize(
    ("forward", "goes_on"),
    [
        (Forward(any_query=True), {"experience": ["e"]}),
        (Forward(query=("since", "experience")), {"since": ["x"], "experience": ["e"]}),
    ],
    ids=["any", "named"],
)
async def test_it_is_told_first_and_its_service_reads_it_only_where_the_route_says_so(
    world: World, forward: Forward, goes_on: dict[str, list[str]]
) -> None:
    asked: list[str] = []

    async def service(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        await connection.wait_closed()

    async with asyncio.timeout(20), serve(service, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        world.route = replace(
            world.route, upstream=Upstream.of("other", f"ws://127.0.0.1:{port}"), forward=forward
        )
        world.query, heard = {"since": "x", "experience": "e"}, b""
        async with world.client() as client:
            while not heard.endswith(b"}"):
                heard += await asyncio.get_running_loop().sock_recv(client, 65536)
    assert heard.partition(b"\r\n\r\n")[2].find(TOLD) in {2, 4}  # behind the head of a frame
    assert parse_qs(urlsplit(asked[0]).query) == goes_on
