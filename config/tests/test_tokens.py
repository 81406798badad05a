"""Tokens against a running gateway, with settings of their own."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection

from config.testing.gateway import issue
from config.tests.conftest import MakeGateway


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
