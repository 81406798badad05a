"""Tickets, in memory and in a real Redis that two nodes share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster import memory_store, tickets
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.questions import LayerAway
from proxy.core.tickets import TICKET_SECONDS, Ticket, write

TOKEN = "eyJhbGciOiJIUzI1NiJ9.a-token-of-ada.signature"
BOUGHT = Ticket(token=TOKEN, routes=("experience",), address="192.0.2.1")


@pytest.fixture
def nodes(make_layer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Each call makes this process the other of two that share a store."""
    layers = [make_layer(), make_layer()]

    def change() -> None:
        layers.reverse()
        monkeypatch.setattr(tickets, "get_channel_layer", lambda: layers[0])

    change()
    return change


async def issued() -> str:
    return await sync_to_async(tickets.issue_sync)(BOUGHT)


async def test_what_is_issued_on_one_node_is_taken_on_another_and_once(nodes: Callable[[], None]) -> None:
    ticket = await issued()
    nodes()
    assert await tickets.take(ticket) == BOUGHT
    assert await tickets.take(ticket) is None
    nodes()
    assert await tickets.take(ticket) is None


async def test_of_many_who_show_a_ticket_at_once_one_is_let_in(nodes: Callable[[], None]) -> None:
    for _ in range(20):
        ticket, asking = await issued(), []
        for _ in range(10):
            nodes()
            asking.append(tickets.take(ticket))
        taken = await asyncio.gather(*asking)
        assert [each for each in taken if each is not None] == [BOUGHT]


@pytest.mark.parametrize("shown", ["", "x", write(bytes(32)), "a" * 5000])
async def test_what_was_never_issued_is_taken_by_nobody(nodes: Callable[[], None], shown: str) -> None:
    assert await tickets.take(shown) is None


async def test_a_ticket_under_another_name_is_none(nodes: Callable[[], None]) -> None:
    ticket = await issued()
    assert await tickets.take(f"{ticket}.djI") is None
    assert await tickets.take(ticket) == BOUGHT


async def test_redis_keeps_nothing_that_could_be_read_and_forgets_it_in_time(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = GatewayChannelLayer(hosts=[{"address": valkey.url}], prefix="gateway")
    monkeypatch.setattr(tickets, "get_channel_layer", lambda: layer)
    ticket = await issued()
    async with Redis.from_url(valkey.url) as redis:
        (key,) = await redis.keys("*")
        kept: Any = await redis.get(key)
        assert 0 < await redis.ttl(key) <= TICKET_SECONDS
        for secret in (ticket, ticket[:20], ticket[20:], TOKEN, "a-token-of-ada", "192.0.2.1", "experience"):
            assert secret.encode() not in key + kept
        await redis.set(key, kept[:-1] + bytes([kept[-1] ^ 1]))  # by who may write there
        assert await tickets.take(ticket) is None


async def test_where_redis_is_away_nobody_says_yes_or_no(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = GatewayChannelLayer(hosts=[{"address": valkey.url}], prefix="gateway")
    monkeypatch.setattr(tickets, "get_channel_layer", lambda: layer)
    ticket = await issued()
    valkey.kill()
    async with asyncio.timeout(60):
        for call in (issued(), tickets.take(ticket)):
            with pytest.raises(LayerAway):
                await call


async def test_in_memory_they_are_forgotten_in_time_and_beyond_the_bound_none_is_issued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, now = MemoryChannelLayer(), 0.0
    monkeypatch.setattr(tickets, "get_channel_layer", lambda: layer)
    monkeypatch.setattr(memory_store, "_MOST_KEPT", 3)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first, *_ = [tickets.issue_sync(BOUGHT) for _ in range(3)]
    with pytest.raises(LayerAway, match="3 are kept"):
        tickets.issue_sync(BOUGHT)
    assert await tickets.take(first) == BOUGHT
    second = tickets.issue_sync(BOUGHT)
    now += TICKET_SECONDS
    assert await tickets.take(second) is None
    assert len([tickets.issue_sync(BOUGHT) for _ in range(3)]) == 3
