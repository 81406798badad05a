"""Caps, rates and blocks, over all nodes."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.pools.conftest import MakeNodes


async def refusal(node: Gateway, *, user: str = "42") -> Response:
    with pytest.raises(InvalidStatus) as refused:
        async with node.connect(node.url("/ws", token=issue(user))):
            pass
    return refused.value.response


async def enter(stack: AsyncExitStack, node: Gateway, *, user: str = "42") -> ClientConnection:
    return await stack.enter_async_context(node.connect(node.url("/ws", token=issue(user))))


async def counted_together(node: Gateway) -> None:
    """Until the node counts in Redis."""
    await asyncio.to_thread(node.program.wait_for_output, "limits hold for all nodes together")


async def test_the_eleventh_connection_of_an_address_is_refused_on_any_node(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(2, MAX_CONNECTIONS_PER_IP="10")
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        for node in nodes:
            async with node.connect(node.url("/ws")):
                await counted_together(node)
        for number in range(10):
            await enter(stack, nodes[number % 2], user=str(number))
        for node in nodes:
            response = await refusal(node, user="another")
            assert response.status_code == 429
            assert int(response.headers["Retry-After"]) >= 1
        await stack.aclose()
        while True:  # the ends reach the gateway a moment later
            try:
                async with nodes[1].connect(nodes[1].url("/ws")):
                    break
            except InvalidStatus:
                continue


@pytest.mark.timing
async def test_a_dead_nodes_leases_expire(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(2, MAX_CONNECTIONS_PER_USER="3")
    async with asyncio.timeout(50), AsyncExitStack() as stack:
        for node in nodes:
            # Somebody else's link: its release follows its close, and must not count among the three.
            async with node.connect(node.url("/ws", token=issue("somebody else"))):
                await counted_together(node)
        for _ in range(3):
            await enter(stack, nodes[0])
        assert (await refusal(nodes[1])).status_code == 429
        nodes[0].program.kill()
        killed_at = time.monotonic()
        while True:
            try:
                async with nodes[1].connect(nodes[1].url("/ws")):
                    break
            except InvalidStatus:
                await asyncio.sleep(0.2)
        assert time.monotonic() - killed_at < 20


async def test_the_oldest_link_is_replaced_where_that_is_the_policy(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(2, MAX_CONNECTIONS_PER_USER="2", CONNECTION_CAP_POLICY="replace_oldest")
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        for node in nodes:
            async with node.connect(node.url("/ws", token=issue("warm"))):
                await counted_together(node)
        first = await enter(stack, nodes[0])
        second = await enter(stack, nodes[1])
        third = await enter(stack, nodes[1])
        await first.wait_closed()
        assert (first.close_code, first.close_reason) == (4009, "replaced by a newer connection")
        await enter(stack, nodes[0])
        await second.wait_closed()
        assert second.close_code == 4009
        assert third.close_code is None


async def test_an_address_that_connects_too_fast_is_refused(make_nodes: MakeNodes) -> None:
    (node,) = make_nodes(1, CONNECT_RATE_PER_IP="5/m")
    async with asyncio.timeout(20):
        for number in range(5):
            async with node.connect(node.url("/ws", token=issue(str(number)))):
                pass
        response = await refusal(node)
    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60


async def test_limits_go_on_by_node_while_redis_is_away(make_nodes: MakeNodes, valkey: ValkeyServer) -> None:
    (node,) = make_nodes(1, MAX_CONNECTIONS_PER_IP="3")
    async with asyncio.timeout(50), AsyncExitStack() as stack:
        async with node.connect(node.url("/ws")):
            await counted_together(node)
        await enter(stack, node, user="1")
        valkey.kill()
        await enter(stack, node, user="2")
        await enter(stack, node, user="3")
        assert (await refusal(node, user="4")).status_code == 429
        assert node.program.output.count("limits hold for this node alone") == 1
        valkey.start()
        while node.program.output.count("limits hold for all nodes together") < 2:
            await asyncio.sleep(0.1)
        assert (await refusal(node, user="5")).status_code == 429


BLOCK = """
from proxy.models import Block
Block({}).save()
"""


@pytest.mark.parametrize("rule", ["user_id='42'", "network='127.0.0.0/8'"])
async def test_a_block_ends_links_everywhere_within_two_seconds_and_refuses_new_ones(
    make_nodes: MakeNodes, rule: str
) -> None:
    nodes = make_nodes(2)
    async with asyncio.timeout(50), AsyncExitStack() as stack:
        clients = [await enter(stack, node) for node in nodes]
        bystander = await enter(stack, nodes[0], user="7")
        await asyncio.to_thread(nodes[0].manage, "shell", "-c", BLOCK.format(rule))
        async with asyncio.timeout(2):
            await asyncio.gather(*(client.wait_closed() for client in clients))
        assert {(client.close_code, client.close_reason) for client in clients} == {(4003, "blocked")}
        for node in nodes:
            assert (await refusal(node)).status_code == 403
        if "user" in rule:
            assert bystander.close_code is None
        nodes[1].stop()
        nodes[1].start()  # it survives a restart
        assert (await refusal(nodes[1])).status_code == 403


async def open_as(stack: AsyncExitStack, node: Gateway, path: str, user: str) -> int:
    """101, or the status of the refusal."""
    try:
        await stack.enter_async_context(node.connect(node.url(path, token=issue(user))))
    except InvalidStatus as refused:
        return int(refused.response.status_code)
    return 101


async def test_with_the_settings_nobody_changed_a_class_behind_one_address_plays_and_caps_hold_a_route(
    make_nodes: MakeNodes,
) -> None:
    unset = {"MAX_CONNECTIONS_PER_IP": "", "MAX_CONNECTIONS_PER_USER": "", "CONNECT_RATE_PER_IP": ""}
    first, second = make_nodes(2, **unset)
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        for node in (first, second):
            await stack.enter_async_context(node.serving(ServerConnection.wait_closed))
            async with node.connect(node.url(token=issue("warm"))):
                await counted_together(node)
        assert [await open_as(stack, first, "/ws", "one") for _ in range(3)] == [101] * 3
        assert [await open_as(stack, second, "/ws", "one") for _ in range(3)] == [101, 101, 429]
        pupils = [open_as(stack, (first, second)[n % 2], "/ws/experience", f"pupil-{n}") for n in range(50)]
        assert await asyncio.gather(*pupils) == [101] * 50
        own = [await open_as(stack, (first, second)[n % 2], "/ws/experience", "one") for n in range(21)]
        assert own == [101] * 20 + [429]
