"""Staff's commands while a store is away or frozen: they do what can be done, soon, and say what cannot."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway, issue
from config.testing.servers import PostgresServer, ValkeyServer
from proxy.tables.deeds import a_shell

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """What the `nodes` share, and nobody else."""
    return own_valkey


async def echo(upstream: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in upstream:
            await upstream.send(message)


async def run(node: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    ran = await asyncio.to_thread(node.manage, *words, check=False)
    assert "Traceback" not in ran.stderr
    return ran


async def test_without_a_database_links_are_kicked_events_published_and_nodes_drained(
    nodes: tuple[Gateway, Gateway], postgres: PostgresServer
) -> None:
    one, two = nodes
    async with asyncio.timeout(120), one.serving(echo):
        for node in nodes:
            await node.wait_until_ready(redis=True, database=True)
        await asyncio.to_thread(postgres.kill)
        async with one.connect(one.url()) as client, two.connect(two.url(token=issue("7"))) as other:
            assert (await run(one, "publish", "user:42", '{"type":"hello"}')).returncode == 0
            assert await client.recv() == '{"type":"hello"}'

            kicked = await run(one, "kick", "--user", "42")
            await client.wait_closed()
            assert client.close_code == 4001
            assert kicked.stdout == "The nodes were told; how many links end is not known.\n"

            listed = await run(one, "connections")
            assert listed.returncode == 1
            assert listed.stderr.splitlines()[-1].startswith("CommandError: the database is away (")

            named = await run(one, "drain", "somewhere:1")
            assert named.returncode == 1
            assert "give the node's id, or --all" in named.stderr.splitlines()[-1]
            assert (await run(one, "drain", "--all")).stdout == "told every node to drain\n"
            await other.wait_closed()
            assert other.close_code == 1001
        for node in nodes:
            assert await asyncio.to_thread(node.program.wait_for_exit, within_seconds=40) == 0


async def told(node: Gateway, *words: str) -> Any:
    """The document that a command prints, which has to go well; nothing else is on its stdout."""
    ran = await run(node, *words, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


async def test_two_nodes_are_seen_told_kicked_blocked_and_drained_from_a_shell_and_the_audit_has_each_once(
    nodes: tuple[Gateway, Gateway],
) -> None:
    one, two = nodes
    async with asyncio.timeout(120), one.serving(echo):
        for node in nodes:
            await node.wait_until_ready(redis=True, database=True)
        async with one.connect(one.url()) as client, two.connect(two.url(token=issue("7"))) as other:
            while len(listed := await told(one, "connections")) < 2:
                assert len(listed) < 3
            running = await told(one, "nodes")
            assert [(node["state"], node["links"]) for node in running] == [("running", 1)] * 2
            assert all(node["resident_bytes"] for node in running)
            status = await told(one, "status")
            assert status["totals"]["links"] == sum(status["figures"]["links_by_route"].values()) == 2

            message = ["message", "Back at noon", "--route", "experience", "--reason", "upgrade"]
            unasked = await run(one, *message)
            assert (unasked.returncode, unasked.stdout) == (2, "")
            assert "This goes to 2 live links of 2 users. Nobody was asked" in unasked.stderr
            assert await told(one, *message, "--yes") == {"links": 2, "silent": 0}
            for each in (client, other):
                assert json.loads(await each.recv()) == {"type": "staff.message", "text": "Back at noon"}

            kicked = await told(
                one, "kick", "--route", "experience", "--user", "42", "--yes", "--reason", "rest"
            )
            assert kicked == {"ended": 1, "silent": []}
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4001, "rest")

            blocked = await told(one, "block", "--user", "7", "--for", "1h", "--reason", "spam")
            assert blocked["links"] == 1
            await other.wait_closed()
            assert other.close_code == 4003
        await told(one, "unblock", str(blocked["id"]), "--reason", "sorry")

        name = next(node["name"] for node in running if node["name"].endswith(f":{two.program.pid}"))
        assert await told(one, "drain", name, "--reason", "a new kernel") == {"told": name}
        assert await asyncio.to_thread(two.program.wait_for_exit, within_seconds=40) == 0
        audit = await told(one, "audit")
        assert [(each["kind"], each["count"], each["reason"]) for each in reversed(audit)] == [
            ("proxy.connection", 2, "upgrade"),
            ("proxy.connection", 1, "rest"),
            ("proxy.block", 1, "spam"),
            ("proxy.block", 1, "sorry"),
            ("proxy.node", 0, "a new kernel"),
        ]
        assert {each["who"] for each in audit} == {a_shell()}
        sources = [entry["kind"] for entry in (await told(one, "person", "42"))["person"]["timeline"]]
        assert sorted(sources) == ["closed", "note", "opened"]


@pytest.mark.timing
async def test_with_a_frozen_valkey_a_command_says_so_and_a_block_is_saved_within_seconds(
    nodes: tuple[Gateway, Gateway], valkey: ValkeyServer
) -> None:
    node, _ = nodes
    async with asyncio.timeout(120), node.serving(echo):
        await node.wait_until_ready(redis=True, database=True)
        async with node.connect(node.url()) as client:
            valkey.freeze()
            idle_seconds = await _seconds(node, "check")

            published = await run(node, "publish", "user:42", '{"type":"hello"}')
            assert published.returncode == 1
            assert published.stderr.splitlines()[-1] == (
                "CommandError: not published: Redis has not answered in 2 s"
            )
            assert await _seconds(node, "publish", "user:42", '{"type":"hello"}') < idle_seconds + 5
            block = "from proxy.models import Block; Block.objects.create(user_id='42')"
            assert await _seconds(node, "shell", "-c", block) < idle_seconds + 5
            await client.wait_closed()
            assert client.close_code == 4003


async def _seconds(node: Gateway, *words: str) -> float:
    began = time.monotonic()
    await run(node, *words)
    return time.monotonic() - began
