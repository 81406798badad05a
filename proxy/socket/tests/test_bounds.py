"""What a route bounds by itself, in place of what holds for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from websockets.frames import Opcode

from proxy import registry
from proxy.core.limits import LinkBounds
from proxy.env import Env
from proxy.socket.tests.wire import accepted, frame, read
from proxy.tests.world import World, settle


@pytest.mark.parametrize(
    ("bounds", "code"),
    [(LinkBounds(max_message_bytes=1000), 1009), (LinkBounds(idle_timeout_seconds=0.3), 4008)],
    ids=["size", "idle time"],
)
async def test_a_routes_own_bound_ends_its_links(
    world: World, redis: Redis, bounds: LinkBounds, code: int
) -> None:
    world.route = replace(world.route, bounds=bounds)
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        if code == 1009:
            await asyncio.get_running_loop().sock_sendall(client, frame(Opcode.TEXT, b"x" * 1001))
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, code.to_bytes(2, "big"))
    await settle(world, redis)


async def test_the_cap_of_all_holds_for_a_route_that_says_nothing_of_its_connections(
    world: World, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "env", Env({"MAX_CONNECTIONS_PER_USER": "1"}))
    world.route = replace(world.route, connection_limits=None)
    async with asyncio.timeout(10), world.client() as client:
        await accepted(client)
        status, body = await world.answer()
        assert (status, b"too_many" in body) == (429, True)
    await settle(world, redis)
