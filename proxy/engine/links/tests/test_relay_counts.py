"""What a relayed link counts: what crossed it, and the client that could not keep up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.events import Event
from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.core.routes import Overflow
from proxy.engine.links.relay import Relay
from proxy.engine.links.tests.splicing import terms, until
from proxy.engine.links.tests.test_relay_policy import DeafLeg, ScriptedLeg, Strict
from proxy.tests.counting import counted

NEWS = Event("né")
ROOM_FOR_ONE = LinkLimits(slow_consumer_seconds=0.05, outbox_bytes=4)


def relay_of(client: ScriptedLeg, service: ScriptedLeg, **options: Any) -> Relay:
    return Relay(client, service, terms(limits=ROOM_FOR_ONE, policy=Strict(), **options))


async def test_messages_and_events_are_counted_in_bytes_of_the_wire() -> None:
    counters = LinkCounters()
    client = ScriptedLeg("é", "four", "drop me", close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg("drop me", "grüezi", close=None, by=ClosedBy.UPSTREAM)
    relay = relay_of(client, service, counters=counters)
    running = asyncio.create_task(relay.run())
    relay.inject(NEWS)
    async with asyncio.timeout(30):
        await until(lambda: len(client.heard) == 2 and counters.messages_in == 3)
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running
    assert sorted(map(str, client.heard)) == ["grüezi", NEWS.text]
    assert (counters.messages_in, counters.bytes_in) == (3, 2 + 4 + 7)
    assert (counters.messages_out, counters.bytes_out) == (2, 7 + 3)


async def test_a_relay_that_its_client_has_closed_is_ended_by_nobody_else() -> None:
    client = ScriptedLeg(close=closes.NORMAL, by=ClosedBy.CLIENT)
    relay = relay_of(client, ScriptedLeg(close=None, by=ClosedBy.UPSTREAM))
    async with asyncio.timeout(30):
        await relay.run()
    assert not relay.end(closes.KICKED, ClosedBy.STAFF)


@pytest.mark.parametrize("unread", ["message", "answer", "event", "events beyond the outbox"])
async def test_a_client_that_does_not_read_is_counted_once_by_its_route(unread: str) -> None:
    client = DeafLeg(*([b"no binary"] if unread == "answer" else []), close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(*(["hello"] if unread == "message" else []), close=None, by=ClosedBy.UPSTREAM)
    route = f"unread {unread}"
    before = counted(metrics.SLOW_CONSUMERS_TOTAL, route)
    relay = relay_of(client, service, route=route)
    for _ in range({"event": 1, "events beyond the outbox": 3}.get(unread, 0)):
        relay.inject(NEWS)
    async with asyncio.timeout(30):
        ended = await relay.run()
    assert (ended.close, ended.by) == (closes.SLOW_CONSUMER, ClosedBy.GATEWAY)
    assert counted(metrics.SLOW_CONSUMERS_TOTAL, route) - before == 1


async def test_events_that_a_relayed_client_has_no_room_for_are_dropped_the_oldest_first() -> None:
    before = counted(metrics.EVENTS_TOTAL, "layer", "dropped")
    client = ScriptedLeg(close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    relay = relay_of(client, service, overflow=Overflow.DROP_OLDEST)
    for text in ("old", "new", "last"):
        relay.inject(Event(text))
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(30):
        await until(lambda: client.heard == ["new", "last"])
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running
    assert counted(metrics.EVENTS_TOTAL, "layer", "dropped") - before == 1
