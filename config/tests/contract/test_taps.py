"""A link of one node is looked at on a page of another, and so are links to what a route makes for each."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.test_taps import CLEAN, SAID, begin, echo, lines, live_link, staff_of
from experience.sessions.tests.conftest import Agent, made

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]


async def test_what_goes_over_a_link_of_another_node_is_seen_and_its_end_with_that_node(
    nodes: tuple[Gateway, Gateway],
) -> None:
    here, there = nodes
    async with here.serving(echo), staff_of(here) as staff:
        async with there.connect(there.url(token=issue("joe"))) as client:
            page = await begin(staff["ada"], here, await live_link(there, "joe"))
            async with staff["ada"].watching(here, page) as told:
                await client.send(SAID)
                assert await client.recv() == SAID
                assert sorted(await lines(told, 2)) == [("in", CLEAN), ("out", CLEAN)]
                shown = (await staff["ada"].get(here, page)).text.replace("&quot;", '"')
                assert shown.count(CLEAN) == 2
                stopping = asyncio.create_task(asyncio.to_thread(there.stop))
                ends = [each["ended"] async for each in told]
                await stopping
    assert ends[-1] in ("the node drains or stops", "the connection has closed")


async def test_a_page_holds_up_no_drain_and_goes_on_at_another_node(nodes: tuple[Gateway, Gateway]) -> None:
    here, there = nodes
    async with here.serving(echo), staff_of(here) as staff:
        async with there.connect(there.url(token=issue("joe"))) as client:
            page = await begin(staff["ada"], here, await live_link(there, "joe"))
            async with staff["ada"].watching(here, page) as told:
                await client.send(SAID)
                await lines(told, 2)
                began = time.monotonic()
                stopping = asyncio.create_task(asyncio.to_thread(here.stop))
                assert not [each async for each in told if each["lines"] or each["ended"]]
                assert await stopping == 0
                assert time.monotonic() - began < 8, "as long as an application may take, it would be 15"
            await client.send(SAID)
            async with staff["ada"].watching(there, page) as told:
                assert sorted(await lines(told, 4)) == [("in", CLEAN)] * 2 + [("out", CLEAN)] * 2


@pytest.mark.parametrize("kind", ["serve", "daphne"])
async def test_what_an_agent_and_its_viewer_say_is_seen(
    kind: str, tmp_path: Path, own_valkey: ValkeyServer
) -> None:
    gateway = await asyncio.to_thread(made, kind, tmp_path, own_valkey, HTTPS_ONLY="false")
    redis = Redis.from_url(own_valkey.url)
    agent = Agent(redis, gateway)
    try:
        await agent.listen()
        async with staff_of(gateway) as staff, agent.joined() as client:
            (row,) = await gateway.wait_for_records("closed_at IS NULL")
            page = await begin(staff["ada"], gateway, str(row["id"]))
            async with staff["ada"].watching(gateway, page) as told:
                await client.send(SAID)
                assert await agent.hear() == json.loads(SAID)
                await agent.say(SAID.replace("world", "viewer"))
                seen = await lines(told, 2)
        assert sorted(seen)[0] == ("in", CLEAN)
        assert ("out", CLEAN.replace("world", "viewer")) in seen
        assert "hunter2" not in gateway.program.output
    finally:
        await agent.up.aclose()
        await redis.aclose()
        await asyncio.to_thread(gateway.close)
