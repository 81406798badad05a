"""Gateways behind nginx as deploy/ sets it up: what one route or one node does is nobody else's business."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from config.testing.front import STARTED_PATH, Front
from config.testing.gateway import issue
from config.testing.nodes import Node
from config.testing.players import Players, waited_for
from config.testing.plugin import Spawn
from config.testing.program import free_port

StartFront = Callable[[Mapping[str, tuple[str, int]]], Front]
StartNode = Callable[..., Node]
NO_DATABASE = "postgres://gateway@127.0.0.1:1/none"


@pytest.fixture
def kb_port(spawn: Spawn) -> int:
    """Of a KB service that sends back what it gets."""
    port = free_port()
    spawn([sys.executable, "-m", "config.testing.echo", str(port)], name="kb").wait_for_port(port)
    return port


@pytest.fixture
async def node_at(tmp_path: Path, kb_port: int) -> AsyncIterator[StartNode]:
    """A gateway that is not started yet: `node_at(name, host, port, **env)`."""
    async with AsyncExitStack() as nodes:

        def make(name: str, host: str, port: int, **env: str) -> Node:
            base = {
                "KB_SERVICE_URL": f"http://127.0.0.1:{kb_port}",
                "DATABASE_URL": NO_DATABASE,
                "TRUSTED_PROXIES": "127.0.0.1",
                "DRAIN_SECONDS": "2",
            }
            node = Node(name, tmp_path, base | env, host=host, port=port)
            nodes.callback(node.program.kill)
            return node

        yield make


def players(front: Front, count: int) -> Players:
    address = f"ws://127.0.0.1:{front.port}/ws/experience?experience=e&token="
    return Players([address + issue(f"player-{number}") for number in range(count)])


def statuses(front: Front) -> Counter[int]:
    """Of what the access log holds, without nginx's own start."""
    lines = [line for line in front.access_log.splitlines() if STARTED_PATH not in line]
    return Counter(int(match[1]) for line in lines if (match := re.search(r'" (\d{3}) ', line)))


async def test_refusals_of_one_route_and_of_ready_cost_the_others_nothing(
    node_at: StartNode, front: StartFront
) -> None:
    """No studio is configured, and the database is away, so both are refused with 503 by either gateway."""
    port = free_port()
    nodes = [node_at("gateway-1", "127.0.0.2", port), node_at("gateway-2", "127.0.0.3", port)]
    await asyncio.gather(*(node.start() for node in nodes))
    server = front({node.name: node.address for node in nodes})

    async with httpx.AsyncClient(base_url=server.url, timeout=10) as poller, players(server, 20) as playing:
        await playing.all_are_served(within_seconds=20)
        for number in range(30):
            token = issue(f"artist-{number}")
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
            studio = await poller.get(f"/ws?token={token}", headers=upgrade)
            ready = await poller.get("/ready")
            assert (studio.status_code, ready.status_code) == (503, 503)
            assert studio.json()["code"]  # the gateway's own answer
            assert studio.headers["Retry-After"]
            async with players(server, 1) as newcomer:
                await newcomer.all_are_served(within_seconds=10)
        await playing.all_are_served(within_seconds=10)
        story = playing.each[0].story

    assert (story.links, story.refused, story.wrong) == (20, {}, [])
    assert set(statuses(server)) == {101, 503}


async def test_a_kb_outage_does_not_take_the_admin_down(
    node_at: StartNode, front: StartFront, tmp_path: Path, spawn: Spawn
) -> None:
    port, nowhere = free_port(), f"http://127.0.0.1:{free_port()}"
    env = {"KB_SERVICE_URL": nowhere, "DATABASE_URL": f"sqlite:///{tmp_path / 'gateway.sqlite3'}"}
    nodes = [node_at("gateway-1", "127.0.0.2", port, **env), node_at("gateway-2", "127.0.0.3", port, **env)]
    migrate = spawn([sys.executable, "manage.py", "migrate"], name="migrate", env=nodes[0].env)
    assert migrate.wait_for_exit(within_seconds=30) == 0
    await asyncio.gather(*(node.start() for node in nodes))
    server = front({node.name: node.address for node in nodes})

    async with httpx.AsyncClient(base_url=server.url, timeout=10) as browser, players(server, 20) as playing:
        pages = [await browser.get("/admin/login/") for _ in range(24)]
        story = playing.each[0].story

    assert Counter(page.status_code for page in pages) == {200: 24}
    assert story.links == 0
    assert sum(story.refused.values()) >= 20


async def test_a_client_cannot_say_that_it_has_another_address(node_at: StartNode, front: StartFront) -> None:
    """Not even from a neighbour of nginx, as whoever comes through Docker's own gateway is."""
    node = node_at("gateway-1", "127.0.0.2", free_port())
    await node.start()
    server = front({"gateway-1": node.address, "gateway-2": node.address})
    url = players(server, 1).each[0].url
    forged = {"X-Forwarded-For": "6.6.6.6, 127.0.0.9", "X-Real-IP": "6.6.6.6"}

    async with connect(url, additional_headers=forged, local_addr=("127.0.0.9", 0), proxy=None) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    (opened,) = [line for line in node.program.output.splitlines() if '"link opened"' in line]

    assert json.loads(opened)["client_address"] == "127.0.0.9"


async def answered(server: Front, host: str, times: int) -> bool:
    return server.names.answered[host] >= times


async def test_a_rolling_upgrade_of_two_gateways_refuses_nobody(
    node_at: StartNode, front: StartFront
) -> None:
    """Each is stopped and comes back as a recreated container does: later, and at another address, which its
    name has from its start on. Its health check passes seconds after nginx has looked the name up."""
    port = free_port()
    old = [node_at("gateway-1", "127.0.0.2", port), node_at("gateway-2", "127.0.0.3", port)]
    new = [node_at("gateway-1", "127.0.0.4", port), node_at("gateway-2", "127.0.0.5", port)]
    await asyncio.gather(*(node.start() for node in old))
    server = front({node.name: node.address for node in old})

    async with players(server, 100) as playing:
        await playing.all_are_served(within_seconds=30)
        story = playing.begin_story()
        for before, after in zip(old, new, strict=True):
            assert await before.stop() == 0
            del server.names.addresses[before.name]
            server.names.addresses[after.name] = after.host
            await after.start()
            looked_up = server.names.answered[after.host] + 2  # nginx knows the first when it asks again
            await waited_for(partial(answered, server, after.host, looked_up), within_seconds=15)
        await playing.all_are_served(since=time.monotonic(), within_seconds=10)

    assert set(story.ended) == {"1001"}  # every link that a drain ended, told when to come back
    assert story.refused == {}
    assert story.wrong == []
    assert set(statuses(server)) == {101}
