"""Tokens against a running gateway, with settings of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway, issue

MakeGateway = Callable[..., Gateway]


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[MakeGateway]:
    """`make_gateway(NAME=value…)`: a started gateway of its own."""
    made: list[Gateway] = []

    def make(**env: str) -> Gateway:
        gateway = Gateway("serve", tmp_path, env)
        made.append(gateway)
        gateway.migrate()
        gateway.start()
        return gateway

    yield make
    for gateway in made:
        gateway.close()


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def test_a_token_that_is_accepted_in_its_leeway_is_not_closed_at_once(
    make_gateway: MakeGateway,
) -> None:
    gateway = make_gateway(JWT_LEEWAY_SECONDS="60", TOKEN_GRACE_SECONDS="5")
    token = issue(minutes=-1 / 2)
    async with (
        gateway.serving(echo),
        asyncio.timeout(20),
        gateway.connect(gateway.url(token=token)) as client,
    ):
        for _ in range(3):
            await client.send("still here")
            assert await client.recv() == "still here"
