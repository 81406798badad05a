"""What staff see and do over HTTP, of two real nodes, whichever of them is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer

pytestmark = [pytest.mark.timeout(180), pytest.mark.long]

RIGHTS = ("view_node", "view_deed", "drain_node", "broadcast_connection", "message_connection", "add_block",
          "delete_block")  # fmt: skip
WHY = {"reason": "a new release"}
FAMILY = "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}"


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """Gateways that other tests share tell theirs to the one that all share."""
    return own_valkey


@pytest.fixture
async def http(nodes: tuple[Gateway, Gateway]) -> AsyncIterator[httpx.AsyncClient]:
    """A program with a key, which asks the second node."""
    more = ",".join(f"proxy.{right}" for right in RIGHTS)
    made = await asyncio.to_thread(nodes[0].manage, "issue_api_key", "bot", "--connections", "--may", more)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{nodes[1].port}/api",
        headers={"Authorization": f"Api-Key {made.stdout.strip()}"},
        timeout=30,
        trust_env=False,
    ) as http:
        yield http


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def told(http: httpx.AsyncClient, path: str, wanted: Callable[[Any], Any]) -> Any:
    """The first answer that is as wanted."""
    async with asyncio.timeout(30):
        while True:
            answer = await http.get(path)
            assert answer.status_code == 200, answer.text
            if wanted(answer.json()):
                return answer.json()
            await asyncio.sleep(0.2)


async def test_the_status_and_series_of_both_nodes_are_told_by_either(
    nodes: tuple[Gateway, Gateway], http: httpx.AsyncClient
) -> None:
    async with nodes[0].serving(wait) as url, nodes[0].connect(url):
        one = {"experience": 1}
        now = await told(http, "/status", lambda it: it["figures"] and it["figures"]["links_by_route"] == one)
        assert now["figures"]["resident_bytes"] > 0
        await told(http, "/status", lambda it: it["totals"]["links"] == 1)
        series = await told(http, "/series", lambda it: 1 in it["links"].get("experience", []))
        assert len(series["at"]) == len(series["loop_lag_seconds"]) == 180
        assert {"node"} == {mark["kind"] for mark in series["marks"]}


async def test_what_a_program_says_blocks_and_drains_reaches_clients_and_the_audit(
    nodes: tuple[Gateway, Gateway], http: httpx.AsyncClient
) -> None:
    first, _ = nodes
    async with first.serving(wait), first.connect(first.url(token=issue(FAMILY))) as family:
        await told(http, "/status", lambda it: it["totals"]["links"] == 1)
        said = await http.post("/broadcast", json={"text": "Back in an hour", **WHY})
        assert said.json() == {"links": 1, "is_bounded": False, "silent": 0, "told": True}
        assert json.loads(await family.recv()) == {"type": "staff.message", "text": "Back in an hour"}

        blocked = await http.post("/block", json={"user_id": FAMILY, "until": None, **WHY})
        assert (blocked.status_code, blocked.json()["links"]) == (200, 1)
        async with asyncio.timeout(10):
            await family.wait_closed()
        assert family.close_code == 4003
        lifted = await http.post("/lift", json={"id": blocked.json()["block"]["id"], **WHY})
        assert lifted.status_code == 200

        async with first.connect(first.url(token=issue("bob"))) as bob:
            listed = await told(http, "/nodes", lambda it: 1 in [node["links"] for node in it["results"]])
            (node,) = [node for node in listed["results"] if node["links"]]
            drained = await http.post("/nodes/drain", json={"node": node["id"], **WHY})
            assert drained.json()["others"] == 1
            assert drained.json()["told"] is True
            async with asyncio.timeout(60):
                with pytest.raises(ConnectionClosed):
                    await bob.recv()
            assert bob.close_code == 1001

    entries = (await http.get("/audit")).json()["results"]
    assert [entry["said"].split()[0] for entry in entries] == [
        "Told",
        "Lifted:",
        "Blocked",
        "Told",
        "Issued,",
    ]
    *done, issued = entries
    assert {entry["who"].partition(" (")[0] for entry in done} == {"key bot"}
    assert issued["who"].startswith("shell: ")
    assert {entry["reason"] for entry in done} == {WHY["reason"]}
