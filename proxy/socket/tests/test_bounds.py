"""What a route bounds by itself, in place of what holds for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from websockets.frames import Opcode

from proxy.core.limits import LinkBounds
from proxy.socket.tests.test_own_legs import accepted, frame, read
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
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        if code == 1009:
            await asyncio.get_running_loop().sock_sendall(client, frame(Opcode.TEXT, b"x" * 1001))
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, code.to_bytes(2, "big"))
    await settle(world, redis)
