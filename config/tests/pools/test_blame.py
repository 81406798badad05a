"""Who is blamed for a handshake or a link that fails: never a member for what one client sent."""

from __future__ import annotations

import asyncio
import json

import pytest

from config.testing.gateway import Gateway, issue
from config.testing.studio import StudioInstance
from config.tests.pools.conftest import MakeNodes
from config.tests.pools.test_balancing import instance_of

KINDS = ("serve", "daphne")


async def status_of(node: Gateway, head: bytes, *, user: str = "bad") -> int:
    """The status of a handshake with these raw header lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(
        b"GET /ws?token=%b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n\r\n"
        % (issue(user).encode(), head)
    )
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handshake_that_cannot_be_passed_on_is_refused_and_blames_no_member(
    make_nodes: MakeNodes, kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, STUDIO_PROBE="none")
    heads = (
        b"User-Agent: a\x01b",
        b"User-Agent: a\x7fb",
        b"Accept-Language: a\x1bb",
        b"Sec-WebSocket-Protocol: foo bar",
        b"Sec-WebSocket-Protocol: foo\x01",
    )
    async with asyncio.timeout(30):
        for head in heads * 3:
            assert await status_of(node, head) == (403 if kind == "daphne" else 400)
        async with node.connect(node.url("/ws", token=issue("good"))) as client:
            assert await instance_of(client)
    assert "never retrieved" not in node.program.output
    assert "Traceback" not in node.program.output


@pytest.mark.parametrize("kind", KINDS)
async def test_one_user_whose_links_make_a_service_drop_does_not_shut_its_members_to_others(
    make_nodes: MakeNodes, studios: list[StudioInstance], kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, STUDIO_PROBE="none")
    async with asyncio.timeout(30):
        for _ in range(3):
            clients = [
                await node.connect(node.url("/ws", token=issue("bad"))).__aenter__() for _ in range(12)
            ]
            for client in clients:
                await client.send(json.dumps({"type": "fail", "how": "abort"}))
            for client in clients:
                await client.wait_closed()
        instances = set()
        for number in range(6):
            async with node.connect(node.url("/ws", token=issue(f"good-{number}"))) as client:
                instances.add(await instance_of(client))
        assert len(instances) == len(studios)
