"""A link of one node is looked at on a page of another."""

from __future__ import annotations

import asyncio

import pytest

from config.testing.gateway import Gateway, issue
from config.tests.test_taps import CLEAN, SAID, begin, echo, lines, live_link, staff_of

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]


async def test_what_goes_over_a_link_of_another_node_is_seen_and_that_node_ends_it_at_its_drain(
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
                assert CLEAN.partition(",")[2] in (await staff["ada"].get(here, page)).text.replace(
                    "&quot;", '"'
                )
                stopping = asyncio.create_task(asyncio.to_thread(there.stop))
                ends = [each["ended"] async for each in told]
                await stopping
    assert ends[-1] in ("the node drains or stops", "the connection has closed")
