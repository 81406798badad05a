"""What the record of a link says of where it leads."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from proxy.socket.tests.test_own_legs import accepted
from proxy.tests.world import World, settle


@pytest.mark.parametrize("has_own", [True, False])
async def test_the_topic_of_a_link_is_the_first_of_its_routes_own(
    world: World, redis: Redis, has_own: bool
) -> None:
    if not has_own:
        world.route = replace(world.route, topics=lambda _: (), topic_kinds=())
    async with asyncio.timeout(10), world.client() as client:
        await accepted(client)
        while not world.node.links:
            await asyncio.sleep(0)
        (link,) = world.node.links.values()
        assert link.record.topic == (f"session:{link.id}" if has_own else "")
    await settle(world, redis)
