"""Who joins while a bridge reaches its broker for the first time: heard at once, or told of a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.bridges.bridge import Bridge
from proxy.bridges.tests.brokers import Broker, Node


@asynccontextmanager
async def bridged(broker: Broker, node: Node) -> AsyncIterator[Bridge]:
    bridge = Bridge(broker, node.workplace)
    running = asyncio.ensure_future(bridge.run())
    try:
        async with asyncio.timeout(30):
            yield bridge
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_who_joins_before_the_first_session_waits_for_it() -> None:
    broker, node = Broker(), Node(None, "user:ann")
    broker.may_connect.clear()
    async with bridged(broker, node):
        await broker.is_asked.wait()
        await asyncio.sleep(0.01)
        assert not node.watched.is_set()
        broker.may_connect.set()
        await node.watched.wait()
        assert broker.heard == {"user:ann"}
    assert node.told == []


async def test_who_waited_in_vain_is_told_of_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.bridges.bridge.JOIN_SECONDS", 0.02)
    broker, node = Broker(), Node(None, "user:ann")
    broker.may_connect.clear()
    async with bridged(broker, node):
        await node.watched.wait()
        assert node.told == []
        broker.may_connect.set()
        while not node.told:
            await asyncio.sleep(0.005)
        assert broker.heard == {"user:ann"}
    assert node.told == [{"user:ann"}]


async def test_nobody_waits_for_a_broker_that_is_known_to_be_away() -> None:
    broker, node = Broker(), Node(None, "user:ann")
    broker.is_away = broker.may_have_missed = True
    async with bridged(broker, node):
        await node.watched.wait()
        broker.is_away = False
        while not node.told:
            await asyncio.sleep(0.005)
    assert node.told == [{"user:ann"}]


async def test_who_has_left_in_the_meantime_is_owed_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.bridges.bridge.JOIN_SECONDS", 0.02)
    broker, node = Broker(), Node(None, "user:ann")
    broker.may_connect.clear()
    async with bridged(broker, node) as bridge:
        await node.watched.wait()
        await bridge.last_left(["user:ann"])
        monkeypatch.undo()
        broker.may_connect.set()
        await bridge.first_joined(["user:ann"])
        assert broker.heard == {"user:ann"}
    assert node.told == []
