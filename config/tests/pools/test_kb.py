"""The KB as a pool of one: its outage refuses clients politely, heals quickly, and is nobody else's."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from config.testing.gateway import Gateway, issue
from config.tests.conftest import MakeGateway
from config.tests.pools.conftest import MakeNodes
from config.tests.pools.test_balancing import instance_of


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


@pytest.fixture
def node(make_gateway: MakeGateway) -> Gateway:
    return make_gateway(KB_PROBE="websocket", KB_PROBE_SECONDS="1")


async def test_a_kb_that_is_away_is_a_503_with_retry_after_and_heals_in_seconds(node: Gateway) -> None:
    async with asyncio.timeout(60):
        for _ in range(6):
            with pytest.raises(InvalidStatus) as refused:
                await node.connect(node.url(token=issue("one"))).__aenter__()
            assert refused.value.response.status_code == 503
            assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 3
        await node.wait_until_ready(upstreams={"kb": False, "chat": False})
        _, counted = await node.get("/metrics")
        member = f"ws://127.0.0.1:{node.kb_port}/ws/experience"
        assert f'errors_total{{backend="{member}",type="dial_failed"}} ' in counted
        assert 'errors_total{backend="kb",type="upstream_unavailable"} 6.0' in counted
        async with node.serving(echo), asyncio.timeout(15):
            while True:
                try:
                    async with node.connect(node.url(token=issue("one"))) as client:
                        await client.send("back")
                        assert await client.recv() == "back"
                        _, counted = await node.get("/metrics")
                        assert f'dial_seconds_count{{backend="{member}"}} 1.0' in counted
                    break
                except InvalidStatus:
                    await asyncio.sleep(0.1)
            await node.wait_until_ready(upstreams={"kb": True, "chat": True})


async def test_a_black_holed_kb_holds_up_no_dial_to_the_studio(make_nodes: MakeNodes) -> None:
    (node,) = make_nodes(1, MAX_CONCURRENT_DIALS="2")
    hanging: list[asyncio.StreamWriter] = []
    came = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.append(writer)
        if len(hanging) == 2:
            came.set()
        await reader.read()

    async def refused(user: str) -> int:
        with pytest.raises(InvalidStatus) as answer:
            await node.connect(node.url(token=issue(user))).__aenter__()
        return int(answer.value.response.status_code)

    async with asyncio.timeout(30), node.serving_raw(hang):
        waiting = [asyncio.create_task(refused(f"kb-{number}")) for number in range(6)]
        await came.wait()
        async with node.connect(node.url("/ws", token=issue("studio"))) as client:
            assert await instance_of(client)
        assert not any(each.done() for each in waiting)
        assert set(await asyncio.gather(*waiting)) <= {503, 504}
