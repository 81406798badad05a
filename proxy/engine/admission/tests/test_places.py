"""Places in topics that have room for so many links: one node's count, and two nodes' over a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from config.testing.servers import ValkeyServer
from proxy.core.limits import ConnectionLimits
from proxy.core.topic_rules import Full
from proxy.engine.admission.caps import Admission
from proxy.engine.admission.shared_caps import Seat
from proxy.engine.admission.tests.test_caps import FAST, Script, alone, node

pytestmark = pytest.mark.long

MILL = "experience:mill"
CAPS = ConnectionLimits(name="default", per_address=1000, per_user=1000, connect_rate=FAST)


async def enter(admission: Admission, link_id: str, most: int = 2) -> Seat | None:
    """As a handshake does: the seat, or None where the topic is full."""
    seat = await admission.admit(link_id, CAPS, address="", user_id=link_id)
    try:
        await admission.places.take(link_id, {MILL: most})
    except Full:
        admission.release(seat)
        return None
    except BaseException:
        admission.release(seat)
        raise
    return seat


async def let_in(admission: Admission, names: Iterable[str], *, most: int = 2) -> list[Seat]:
    asked = await asyncio.gather(*(enter(admission, name, most) for name in names))
    return [seat for seat in asked if seat is not None]


async def shared(script: Script, *holders: str) -> set[str]:
    """The links that Valkey counts."""
    keys = (f"gateway:lease:room:{holder}::{MILL}" for holder in holders)
    return {link.decode() for key in keys for link in await script.redis.smembers(key)}


async def until(script: Script, wanted: set[str], *holders: str) -> None:
    async with asyncio.timeout(10):
        while await shared(script, *holders) != wanted:
            await asyncio.sleep(0.01)


async def test_without_redis_a_node_counts_alone_and_gives_back() -> None:
    admission = alone()
    first, second = await let_in(admission, ("1", "2", "3"))
    admission.release(first)
    admission.release(first)
    assert [seat.link_id for seat in await let_in(admission, ("4", "5"))] == ["4"]
    admission.release(second)
    assert len(await let_in(admission, ("6", "7"))) == 1


async def test_who_was_there_before_the_bound_counts_and_nobody_twice() -> None:
    admission = alone()
    seats = [await admission.admit(name, CAPS, address="", user_id=name) for name in "abc"]
    for _ in range(2):
        for seat in seats:
            admission.hold_places(seat.link_id, {MILL: 2})
    assert await let_in(admission, "d") == []
    admission.release(seats[0])
    admission.hold_places("a", {MILL: 2})
    assert await let_in(admission, "d") == [], "two are still there"
    admission.release(seats[1])
    assert len(await let_in(admission, "de")) == 1
    assert {place.link_id for place in admission.places.live()} == {"c", "d"}, "and none of who has ended"


async def test_a_burst_on_two_nodes_fills_a_topic_and_not_more(valkey: ValkeyServer) -> None:
    async with node(valkey, "a") as (a, script, _), node(valkey, "b") as (b, _, _):
        burst = [let_in(each, [f"{name}{number}" for number in range(50)], most=30)
                 for each, name in ((a, "a"), (b, "b"))]  # fmt: skip
        of_a, of_b = await asyncio.gather(*burst)
        assert len(of_a) + len(of_b) == 30
        assert await shared(script, "a", "b") == {seat.link_id for seat in (*of_a, *of_b)}
        for seat in of_a:
            a.release(seat)
        await until(script, {seat.link_id for seat in of_b}, "a", "b")
        assert len(await let_in(b, [f"c{number}" for number in range(50)], most=30)) == len(of_a)


async def test_a_handshake_asks_once_more_and_only_where_there_is_a_bound(valkey: ValkeyServer) -> None:
    async with node(valkey, "a") as (a, script, _):
        before = script.calls
        seat = await a.admit("1", CAPS, address="", user_id="1")
        await a.places.take("1", {})
        assert script.calls - before == 1
        await a.places.take("1", {MILL: 2})
        assert script.calls - before == 2
        a.release(seat)


async def test_what_a_silent_node_holds_counts_no_more_once_its_lease_is_over(valkey: ValkeyServer) -> None:
    async with node(valkey, "b") as (b, script, _):
        async with node(valkey, "a") as (a, _, _):
            assert len(await let_in(a, "12")) == 2
            assert await let_in(b, "3") == []
        await script.redis.zadd("gateway:lease:nodes", {"a": 1})  # it beat long ago
        assert len(await let_in(b, "34")) == 2


async def test_a_node_that_leaves_takes_its_places_along(valkey: ValkeyServer) -> None:
    async with node(valkey, "b") as (b, _, _):
        async with node(valkey, "a") as (a, _, _):
            assert len(await let_in(a, "12")) == 2
            assert a.shared is not None
            await a.shared.leave()
            assert len(await let_in(b, "345")) == 2


async def test_while_redis_is_away_each_node_counts_alone_and_all_count_together_again(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.engine.admission.shared_caps.BEAT_SECONDS", 0.05)
    async with asyncio.timeout(60), node(valkey, "a") as (a, script, _), node(valkey, "b") as (b, _, _):
        (first,) = await let_in(a, "1")
        valkey.kill()
        for each in (a, b):
            while each.shared is None or each.shared.connected:
                await asyncio.sleep(0.01)
        assert len(await let_in(a, "23")) == 1, "with the one that it had"
        assert len(await let_in(b, "45")) == 2
        valkey.ensure_running()
        await until(script, {"1", "2", "4", "5"}, "a", "b")
        assert await let_in(a, "6") == await let_in(b, "7") == []
        a.release(first)
        await until(script, {"2", "4", "5"}, "a", "b")


async def test_redis_that_has_forgotten_everything_learns_it_again(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(60), node(valkey, "a") as (a, script, _):
        assert len(await let_in(a, "12")) == 2
        monkeypatch.setattr("proxy.engine.admission.shared_caps.BEAT_SECONDS", 0.05)
        await asyncio.to_thread(valkey.flush)
        await until(script, {"1", "2"}, "a")


async def test_a_client_that_leaves_while_it_waits_holds_nothing(valkey: ValkeyServer) -> None:
    async with asyncio.timeout(60), node(valkey, "a") as (a, script, _):
        seat = await a.admit("1", CAPS, address="", user_id="1")
        script.answers.shut()
        waiting = asyncio.create_task(a.places.take("1", {MILL: 2}))
        await script.answers.reached.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        a.release(seat)
        script.answers.open()
        await until(script, set(), "a")
        assert a.places.live() == []
