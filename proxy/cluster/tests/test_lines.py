"""Calls that share a connection to a real Redis which takes its time: each has its own for the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster.lines import Lines
from proxy.cluster.questions import LayerAway
from proxy.cluster.tests.hearing import DEADLINE_SECONDS

SEND_SECONDS = 1.5
# Redis holds a connection for so long: less than a reply may take, and two of them more than that.
HELD_SECONDS = 0.9


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.cluster.lines.SEND_SECONDS", SEND_SECONDS)
    monkeypatch.setattr("proxy.cluster.lines._QUICK_AT_ONCE", 2)


@pytest.fixture
async def lines(valkey: ValkeyServer) -> AsyncIterator[Lines]:
    lines = Lines(valkey.url)
    async with asyncio.timeout(DEADLINE_SECONDS):
        yield lines
    await lines.close()


def hold(lines: Lines, seconds: float = HELD_SECONDS) -> Coroutine[Any, Any, Any]:
    """A call for which Redis holds its connection so long, and whatever comes behind it there."""
    return lines.run_script("BLPOP", "nobody-pushes", str(seconds))


async def test_who_has_waited_for_a_turn_has_all_its_time_for_the_reply(lines: Lines) -> None:
    await lines.run_script("PING")
    calls = [hold(lines), lines.run_script("PING"), hold(lines), lines.run_script("ECHO", "neighbour")]
    assert await asyncio.gather(*calls) == [None, b"PONG", None, b"neighbour"]


async def test_who_comes_before_there_is_a_connection_has_all_its_time_for_the_reply(
    lines: Lines, valkey: ValkeyServer
) -> None:
    async with Redis.from_url(valkey.url) as client:
        await client.client_pause(round(HELD_SECONDS * 1000))
        calls = [hold(lines), lines.run_script("PING")]
        assert await asyncio.gather(*calls) == [None, b"PONG"]


async def test_a_connection_that_cannot_be_opened_is_no_crowd(
    lines: Lines, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.lines.SEND_SECONDS", 0.1)
    valkey.freeze()
    try:
        with pytest.raises(TimeoutError):
            await lines.run_script("PING")
    finally:
        valkey.ensure_running()
    monkeypatch.undo()
    assert await lines.run_script("PING") == b"PONG"


async def test_who_gets_no_turn_is_told_so_and_harms_no_other(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lines.run_script("PING")
    sent = [asyncio.ensure_future(each) for each in (hold(lines), lines.run_script("ECHO", "sent"))]
    await asyncio.sleep(0)
    with monkeypatch.context() as hasty:
        hasty.setattr("proxy.cluster.lines.SEND_SECONDS", 0.05)
        with pytest.raises(LayerAway, match="nothing was sent"):
            await lines.run_script("PING")
    assert await asyncio.gather(*sent) == [None, b"sent"]
