"""What one member says of a client's request, and what another member makes of that."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.errors import (
    GatewayError,
    NotFound,
    Overloaded,
    ServiceBusy,
    ServiceRefused,
    TokenExpired,
    UpstreamRefused,
    UpstreamTimeout,
)
from proxy.core.pools.balancing import PolicyName
from proxy.core.pools.health import Probe
from proxy.core.routes import MemberSpec
from proxy.engine.pools.dial import DialFailed, DialRequest, Target
from proxy.engine.pools.members import LONGEST_BUSY_SECONDS, MemberState
from proxy.engine.pools.tests.pooled import A, B, C, Clock, Service, dial, make, member

WORDS = [
    NotFound("no"),
    ServiceRefused(401),
    ServiceRefused(403),
    TokenExpired("by the service"),
    UpstreamRefused("status 400", upstream_status=400),
]


@pytest.mark.parametrize("word", WORDS, ids=repr)
async def test_what_two_members_say_of_a_request_is_final_and_not_held_against_them(
    word: GatewayError,
) -> None:
    pool, service = make(A, B, C), Service()
    service.connects = True
    service.down = {A: word, B: word, C: word}
    for number in range(9):
        service.dialled.clear()
        with pytest.raises(type(word)):
            await dial(pool, service, key=str(number))
        assert len(set(service.dialled)) == 2
    assert pool.available == 3
    assert sum(each.links for each in pool.all_members()) == 0


@pytest.mark.parametrize("word", WORDS, ids=repr)
async def test_a_member_that_refuses_whom_another_lets_in_is_blamed_by_each_client_once(
    word: GatewayError,
) -> None:
    policy = PolicyName.LEAST_CONNECTIONS  # which draws everybody to the one that lets nobody in
    pool, service = make(A, B, policy=policy), Service()
    service.connects, service.down = True, {A: word}
    for _ in range(9):
        assert (await dial(pool, service, key="one")).member == B
    assert member(pool, A).state is MemberState.AVAILABLE
    assert (await dial(pool, service, key="two")).member == B
    assert member(pool, A).state is MemberState.BROKEN
    assert member(pool, A).links == 0
    assert "to a client that another member let in" in member(pool, A).last_error


async def test_a_member_that_refuses_everybody_on_trial_stays_out() -> None:
    clock = Clock()
    pool, service = make(A, B, clock=clock), Service()
    service.connects, service.down = True, {A: ServiceRefused(403)}
    for number in range(6):
        await dial(pool, service, key=str(number))
    assert member(pool, A).state is MemberState.BROKEN
    for seconds in (1.0, 2.0, 4.0):
        service.dialled.clear()
        clock.now += seconds
        for number in range(4):
            assert (await dial(pool, service, key=f"{clock.now}-{number}")).member == B
        assert service.dialled.count(A) == 1


async def test_a_content_probe_brings_a_member_that_refuses_everybody_back_for_one_trial() -> None:
    pool, service = make(A, B, probe=Probe()), Service()
    service.connects, service.down = True, {A: ServiceRefused(403)}
    for number in range(6):
        await dial(pool, service, key=str(number))
    service.dialled.clear()
    for number in range(9):
        member(pool, A).probed(ok=True)  # 403 is alive
        assert (await dial(pool, service, key=f"later {number}")).member == B
    assert service.dialled.count(A) == 1


async def test_the_word_of_a_pools_only_member_is_final_and_harms_nobody() -> None:
    pool, service = make(A), Service()
    service.connects, service.down = True, {A: ServiceRefused(403)}
    for number in range(9):
        with pytest.raises(ServiceRefused):
            await dial(pool, service, key=str(number))
    assert len(service.dialled) == 9
    assert member(pool, A).state is MemberState.AVAILABLE


@pytest.mark.parametrize("failure", [DialFailed("refused"), UpstreamTimeout(), Overloaded("no files")])
async def test_a_member_that_fails_has_no_word_to_set_against_anothers(failure: Exception) -> None:
    pool, service = make(A, B), Service()
    service.down = {A: ServiceRefused(403), B: failure}
    with pytest.raises(ServiceRefused):
        await dial(pool, service)
    assert service.dialled == [A, B]
    assert member(pool, A).state is MemberState.AVAILABLE
    assert sum(each.links for each in pool.all_members()) == 0


async def test_a_client_that_leaves_while_another_member_is_asked_blames_nobody() -> None:
    pool, service = make(A, B), Service()
    service.down = {A: ServiceRefused(403), B: None}
    for _ in range(4):
        service.dialled.clear()
        dialling = asyncio.create_task(dial(pool, service))
        while B not in service.dialled:
            await asyncio.sleep(0)
        dialling.cancel()
        await asyncio.wait([dialling])
    assert pool.available == 2
    assert sum(each.links for each in pool.all_members()) == 0


async def test_a_trial_that_got_an_answer_is_over_while_another_member_is_still_asked() -> None:
    clock = Clock()
    pool, service = make(A, B, clock=clock, policy=PolicyName.LEAST_CONNECTIONS), Service()
    service.connects, service.down = True, {A: DialFailed("starting")}
    for number in range(2):
        await dial(pool, service, key=str(number))
    clock.now, service.dialled = 1.0, []
    service.down = {A: NotFound("no"), B: None}
    async with asyncio.timeout(5):
        asking = asyncio.create_task(dial(pool, service, key="one"))
        while service.dialled != [A, B]:
            await asyncio.sleep(0)
        del service.down[A]
        assert (await dial(pool, service, key="two")).member == A
        asking.cancel()
        await asyncio.wait([asking])
    assert member(pool, A).state is MemberState.AVAILABLE
    assert [each.links for each in pool.all_members()] == [1, 2]


async def test_a_member_that_has_answered_has_room_while_another_one_is_asked() -> None:
    pool, service = make(A, B), Service()
    pool.apply([MemberSpec(url=A, max_connections=1), MemberSpec(url=B)])
    service.down = {A: NotFound("no"), B: None}
    asking = asyncio.create_task(dial(pool, service))
    while B not in service.dialled:
        await asyncio.sleep(0)
    assert member(pool, A).state is MemberState.AVAILABLE
    asking.cancel()
    await asyncio.wait([asking])


async def test_whoever_has_a_turn_asks_another_member_without_waiting_for_one_again() -> None:
    pool = make(A, B, turns=1, dial_seconds=60)

    async def ask(target: Target, request: DialRequest) -> str:
        await (asyncio.Event().wait() if request.query == "hangs" else asyncio.sleep(0))
        raise NotFound("no")

    async with asyncio.timeout(5):
        answered, hangs = (
            asyncio.create_task(pool.dial(ask, DialRequest(query=query), key=query))
            for query in ("answered", "hangs")
        )
        with pytest.raises(NotFound):
            await answered
    hangs.cancel()
    await asyncio.wait([hangs])


async def test_a_member_that_says_it_is_busy_is_asked_last_for_a_while_and_not_blamed() -> None:
    clock = Clock()
    pool, service = make(A, B, clock=clock, policy=PolicyName.LEAST_CONNECTIONS), Service()
    service.connects, service.down = True, {A: ServiceBusy(retry_after_seconds=3)}
    for number in range(9):
        assert (await dial(pool, service, key=str(number))).member == B
    assert service.dialled.count(A) == 2
    assert member(pool, A).state is MemberState.AVAILABLE
    assert "503" in member(pool, A).last_error
    clock.now, service.down = 3.0, {}
    assert (await dial(pool, service, key="later")).member == A


@pytest.mark.parametrize("seconds", [60.0, 3600.0])
async def test_however_long_a_member_says_that_it_is_busy_it_is_asked_again_soon(seconds: float) -> None:
    clock = Clock()
    pool, service = make(A, B, clock=clock, policy=PolicyName.LEAST_CONNECTIONS), Service()
    service.down = {A: ServiceBusy(retry_after_seconds=seconds)}
    for number in range(2):
        await dial(pool, service, key=str(number))
    clock.now, service.down = LONGEST_BUSY_SECONDS, {}
    assert (await dial(pool, service, key="later")).member == A


async def test_one_client_to_whom_a_member_is_busy_keeps_no_other_off_it() -> None:
    pool, service = make(A, B, policy=PolicyName.LEAST_CONNECTIONS), Service()
    service.down = {A: ServiceBusy(429)}
    for _ in range(9):
        assert (await dial(pool, service, key="one")).member == B
    service.down = {}
    assert (await dial(pool, service, key="two")).member == A


async def test_a_busy_member_that_lets_somebody_in_is_busy_no_more() -> None:
    pool, service = make(A, B, policy=PolicyName.LEAST_CONNECTIONS), Service()
    service.down = {A: ServiceBusy()}
    for number in range(3):
        await dial(pool, service, key=str(number))
    service.down = {B: ServiceBusy()}
    assert (await dial(pool, service, key="3")).member == A
    service.down = {}
    assert (await dial(pool, service, key="4")).member == A


async def test_a_trial_that_finds_a_member_busy_leaves_the_next_one_to_whoever_comes() -> None:
    clock = Clock()
    pool, service = make(A, B, clock=clock), Service()
    service.connects, service.down = True, {A: DialFailed("starting"), B: ServiceBusy()}
    for number in range(2):
        with pytest.raises(ServiceBusy):
            await dial(pool, service, key=str(number))
    clock.now, service.down = 1.0, {A: ServiceBusy(), B: ServiceBusy()}
    with pytest.raises(ServiceBusy):
        await dial(pool, service, key="one")
    del service.down[A]
    assert (await dial(pool, service, key="one")).member == A


async def test_where_all_members_are_busy_the_client_hears_so_and_when_to_come_back() -> None:
    pool, service = make(A, B, C), Service()
    service.connects = True
    service.down = {each: ServiceBusy(retry_after_seconds=7) for each in (A, B, C)}
    for number in range(6):
        service.dialled.clear()
        with pytest.raises(ServiceBusy) as busy:
            await dial(pool, service, key=str(number))
        assert busy.value.retry_after_seconds == 7
        assert sorted(service.dialled) == [A, B, C]
    assert pool.available == 3
