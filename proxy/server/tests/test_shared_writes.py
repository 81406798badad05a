"""What an application sends in one turn of the loop goes out in one write, in order, without a wait."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from config.testing.segments import segments_in
from proxy.server.tests.conftest import RunningServer


@pytest.mark.parametrize(("count", "size", "most"), [(1, 100, 1), (50, 100, 1), (100, 1000, 8)])
async def test_messages_of_one_turn_share_a_segment(
    server: RunningServer, count: int, size: int, most: int
) -> None:
    async with (
        asyncio.timeout(20),
        connect(server.url(f"burst?size={size}&count={count}"), proxy=None, compression=None) as client,
    ):
        raw = client.transport.get_extra_info("socket")
        before = segments_in(raw)
        await client.send("now")
        numbers = [int(await client.recv()) for _ in range(count)]

        assert numbers == list(range(count))
        assert 1 <= segments_in(raw) - before <= most


async def test_a_close_comes_behind_what_was_sent_before_it(server: RunningServer) -> None:
    url = server.url("burst?size=10&count=20&close=4001")
    async with asyncio.timeout(20), connect(url, proxy=None, compression=None) as client:
        await client.send("now")
        assert [int(await client.recv()) for _ in range(20)] == list(range(20))
        await client.wait_closed()
    assert client.close_code == 4001


async def test_what_is_sent_between_two_turns_comes_at_once(server: RunningServer) -> None:
    """Each is answered before the next: none waits for company."""
    async with asyncio.timeout(20), connect(server.url("echo"), proxy=None, compression=None) as client:
        raw = client.transport.get_extra_info("socket")
        before = segments_in(raw)
        for number in range(20):
            await client.send(str(number))
            assert await client.recv() == str(number)
        assert segments_in(raw) - before == 20
