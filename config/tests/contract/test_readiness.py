"""What makes a node ready, and what does not: `/ready` is what load balancers go by."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway
from config.testing.program import free_port
from config.testing.servers import PostgresServer, ValkeyServer

pytestmark = pytest.mark.long


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def status(node: Gateway) -> int:
    return (await node.get("/ready"))[0]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Gateway]:
    """A node on SQLite, migrated and not started."""
    node = Gateway("serve", tmp_path, {})
    node.migrate()
    yield node
    node.close()


def layer_complains(node: Gateway, valkey: ValkeyServer) -> None:
    """Until the layer's own reader has met the death of `valkey`: the hub may be first, and let go of it."""
    away = "(?s:.*channel layer is away)"
    for deaths in range(1, 6):
        node.program.wait_for_output(away * deaths, within_seconds=30)
        if re.search("Unexpected exception in receive task: .*Error", node.program.output):
            return
        valkey.start()
        node.program.wait_for_output("(?s:.*channel layer is back)" * deaths, within_seconds=30)
        valkey.kill()
    raise node.program.failed("its channel layer said nothing of five deaths of Valkey")


@pytest.mark.timeout(120)
async def test_a_node_that_serves_stays_ready_while_its_stores_are_away(
    nodes: tuple[Gateway, Gateway], valkey: ValkeyServer, postgres: PostgresServer
) -> None:
    node, _ = nodes
    async with asyncio.timeout(100), node.serving(echo) as url:
        await node.wait_until_ready(ready=True)
        await asyncio.to_thread(valkey.kill)
        await asyncio.to_thread(postgres.kill)
        answer = await node.wait_until_ready(redis=False, database=False)
        assert answer["ready"] is True
        assert await status(node) == 200
        async with node.connect(url) as client:
            await client.send("served")
            assert await client.recv() == "served"
        await asyncio.to_thread(layer_complains, node, valkey)
    assert "channels_redis" in node.program.output
    assert "Traceback" not in node.program.output


@contextmanager
def swallowing_syns(port: int) -> Iterator[None]:
    """A listening socket whose backlog is full: who connects waits for an answer that never comes."""
    with ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        for _ in range(5):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.1", port))
        yield


async def answer_seconds(node: Gateway) -> float:
    """How long one asker of `/ready` waits."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    try:
        writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline()
    finally:
        writer.transport.abort()
    return loop.time() - began


async def test_a_member_that_answers_no_syn_keeps_one_asker_waiting_and_nobody_else(node: Gateway) -> None:
    with swallowing_syns(node.kb_port):
        node.start()
        async with asyncio.timeout(50):
            one_waited = False
            while not one_waited:  # a look is due every two seconds, and takes one
                *others, slowest = sorted(await asyncio.gather(*(answer_seconds(node) for _ in range(20))))
                one_waited = slowest > 0.8 and max(others) < slowest / 2


async def test_a_node_none_of_whose_routes_leads_anywhere_is_not_ready(tmp_path: Path) -> None:
    node = Gateway("serve", tmp_path, {"ROUTES": "experience.routes.EXPERIENCE"})
    node.migrate()
    node.start()
    try:
        async with asyncio.timeout(50):
            async with node.serving(echo):
                await node.wait_until_ready(ready=True, upstreams={"kb": True})
                assert await status(node) == 200
            await node.wait_until_ready(ready=False, upstreams={"kb": False})
            assert await status(node) == 503
    finally:
        node.close()


async def test_a_node_that_has_never_reached_its_stores_is_not_ready(
    tmp_path: Path, valkey: ValkeyServer
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    stores = {"DATABASE_URL": f"postgres://gateway@{nobody}/gateway", "REDIS_URL": f"redis://{nobody}/0"}
    node = Gateway("serve", tmp_path, stores)
    node.start()
    try:
        async with asyncio.timeout(50), node.serving(echo):
            answer = await node.wait_until_ready(upstreams={"kb": True, "chat": True})
            assert (answer["ready"], answer["redis"], answer["database"]) == (False, False, False)
            assert await status(node) == 503
    finally:
        node.close()


async def test_a_node_that_could_never_read_the_blocks_is_not_ready(node: Gateway) -> None:
    with closing(sqlite3.connect(node.env["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        database.execute("DROP TABLE proxy_block")
    node.start()
    async with asyncio.timeout(50), node.serving(echo):
        answer = await node.wait_until_ready(database=True, upstreams={"kb": True, "chat": True})
        assert (answer["ready"], answer["rules"]) == (False, False)
    assert json.loads((await node.get("/health"))[1])["alive"] is True
