"""A drain sends everybody away with a word on when to come back, and leaves no record open."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request
from websockets.server import ServerProtocol

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def drained(node: Gateway, start: list[str] | None, *, redis: bool | None = True) -> None:
    """Drain `node` under twenty links in traffic, by a command or by SIGTERM; all must end as told."""
    async with node.serving(echo), asyncio.timeout(50), AsyncExitStack() as stack:
        await node.wait_until_ready(redis=redis, database=True)
        clients = [
            await stack.enter_async_context(node.connect(node.url(token=issue(f"drained-{number}"))))
            for number in range(20)
        ]
        for client in clients:
            await client.send("before")
            assert await client.recv() == "before"
        if start is None:
            node.program.send_signal(signal.SIGTERM)
        else:
            told = await asyncio.to_thread(node.manage, *start)
            assert "told" in told.stdout
        for client in clients:
            await client.wait_closed()
            assert client.close_code == 1001
            assert re.fullmatch(r"restart; retry in \d+ ms", client.close_reason or "")
        assert await asyncio.to_thread(node.program.wait_for_exit, within_seconds=20) == 0
        rows = node.records("user_id LIKE 'drained-%'")
        assert len(rows) == 20
        assert {(row["close_code"], row["closed_by"]) for row in rows} == {(1001, "gateway")}
        assert {(row["messages_in"], row["messages_out"]) for row in rows} == {(1, 1)}


async def test_sigterm_drains_a_node_and_its_records_are_complete(nodes: tuple[Gateway, Gateway]) -> None:
    await drained(nodes[0], None)


async def never_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the handshake, and nothing else any more, a close least of all."""
    protocol = ServerProtocol()
    protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
    for event in protocol.events_received():
        assert isinstance(event, Request)
        protocol.send_response(protocol.accept(event))
    writer.writelines(protocol.data_to_send())
    while await reader.read(65536):
        pass


async def test_a_service_that_never_answers_a_close_leaves_no_record_and_no_lease_behind(
    nodes: tuple[Gateway, Gateway], valkey: ValkeyServer
) -> None:
    node = nodes[0]
    async with node.serving_raw(never_closes), asyncio.timeout(50), AsyncExitStack() as stack:
        await node.wait_until_ready(redis=True, database=True)
        urls = [node.url(token=issue(f"unanswered-{number}")) for number in range(5)]
        clients = [await stack.enter_async_context(node.connect(url)) for url in urls]
        node.program.send_signal(signal.SIGTERM)
        for client in clients:
            await client.wait_closed()
            assert client.close_code == 1001
        assert await asyncio.to_thread(node.program.wait_for_exit, within_seconds=20) == 0
    rows = node.records("user_id LIKE 'unanswered-%'")
    assert sorted((row["close_code"], row["close_reason"], row["closed_by"]) for row in rows) == sorted(
        (client.close_code, client.close_reason, "gateway") for client in clients
    )
    async with Redis.from_url(valkey.url) as redis:
        assert [key async for key in redis.scan_iter("gateway:lease:user:*:unanswered-*")] == []


async def test_the_shell_drains_one_node_and_leaves_the_other_alone(nodes: tuple[Gateway, Gateway]) -> None:
    first, second = nodes
    await second.wait_until_ready(redis=True, database=True)
    unknown = await asyncio.to_thread(first.manage, "drain", "nowhere:1", check=False)
    assert unknown.returncode != 0
    name = re.search(r"[\w.-]+:" + str(first.program.pid), unknown.stderr)
    assert name, unknown.stderr
    await drained(first, ["drain", name[0]])
    assert second.program.running


async def test_a_node_without_redis_that_staff_drain_sees_it_by_its_row(make_gateway: MakeGateway) -> None:
    node = make_gateway()
    drain = f"""
from django.contrib.auth.models import User
from proxy.cluster.node_draining import drain_node
from proxy.models import Node
node = Node.objects.get(pid={node.program.pid})
print("told", drain_node(node, reason="a new kernel", by=User.objects.create_user("ada")))
"""
    await drained(node, ["shell", "-v0", "-c", drain], redis=None)
