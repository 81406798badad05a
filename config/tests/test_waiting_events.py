"""Events of transactions on running gateways: the one that ships is killed, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection

from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

EVENTS = 300
# Each in a transaction of its own; a word when the first is committed.
PUBLISH = f"""
from proxy.api import publish_on_commit
for number in range({EVENTS}):
    publish_on_commit("user:42", {{"type": "event", "number": number}})
"""


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def test_the_node_that_ships_is_killed_and_another_goes_on_where_it_was(
    make_gateway: MakeGateway, own_valkey: ValkeyServer
) -> None:
    gateways = [make_gateway(REDIS_URL=own_valkey.url) for _ in range(2)]
    redis = Redis.from_url(own_valkey.url, decode_responses=True)
    async with asyncio.timeout(90), redis, gateways[0].serving(wait), gateways[1].serving(wait):
        for gateway in gateways:
            await gateway.wait_until_ready(redis=True)
        nodes: list[dict[str, Any]] = []
        while not nodes:  # whose turn it is may have no row yet
            await asyncio.sleep(0.05)
            turn = await redis.get("gateway:shipping:turn")
            nodes = gateways[0].rows(f"SELECT pid FROM proxy_node WHERE id = '{turn!s}'")
        (shipping,) = [each for each in gateways if each.program.pid == nodes[0]["pid"]]
        (other,) = [each for each in gateways if each is not shipping]
        async with other.connect(other.url()) as client:
            publishing = asyncio.create_task(asyncio.to_thread(other.manage, "shell", "-v0", "-c", PUBLISH))
            heard = [json.loads(await client.recv())["number"] for _ in range(20)]
            shipping.program.kill()
            heard += [json.loads(await client.recv())["number"] for _ in range(20, EVENTS)]
            await publishing
            while other.rows("SELECT id FROM proxy_waitingevent"):
                await asyncio.sleep(0.05)
    assert heard == list(range(EVENTS))
