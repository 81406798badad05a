"""Which path a member is asked for, and how Socket.IO finds its way, with the settings nobody changed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import socketio

from config.testing.gateway import Gateway, issue
from config.testing.studio import StudioInstance
from config.tests.pools.conftest import MakeNodes


async def whoami(node: Gateway, path: str) -> dict[str, Any]:
    async with asyncio.timeout(30), node.connect(node.url(path)) as client:
        await client.send('{"type":"whoami"}')
        answer: dict[str, Any] = json.loads(await client.recv())
        return answer


def talk(url: str) -> tuple[object, object]:
    with socketio.SimpleClient() as client:
        client.connect(url, transports=["websocket"])
        answer = client.call("add", [1, 2, 3], timeout=10)
        return answer, client.receive(timeout=10)


async def test_members_may_be_named_with_the_path_that_everybody_writes(
    make_nodes: MakeNodes, studios: list[StudioInstance]
) -> None:
    (node,) = make_nodes(
        1, STUDIO_WS_URLS=",".join(f"{studio.url}/ws" for studio in studios), STUDIO_PROBE_SECONDS="0.1"
    )
    for path in ("/ws", "/websocket"):
        assert (await whoami(node, path))["path"] == "/ws"
    url = f"http://127.0.0.1:{node.port}?token={issue('7')}"
    assert await asyncio.wait_for(asyncio.to_thread(talk, url), 30) == ([1, 2, 3], ["add", [1, 2, 3]])
    assert (await node.wait_until_ready(database=True))["upstreams"]["studio"]


async def test_a_bare_origin_is_asked_for_the_clients_path(make_nodes: MakeNodes) -> None:
    (node,) = make_nodes(1)
    for path in ("/ws", "/websocket"):
        assert (await whoami(node, path))["path"] == path
    url = f"http://127.0.0.1:{node.port}?token={issue('7')}"
    assert (await asyncio.wait_for(asyncio.to_thread(talk, url), 30))[0] == [1, 2, 3]
    status, body = await node.get("/socket.io/?EIO=4&transport=polling")
    assert status == 400
    assert json.loads(body)["transports"] == ["websocket"]
