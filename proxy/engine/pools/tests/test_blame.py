"""Which failures a member is blamed for, whose they are, and what its breaker makes of them."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.errors import Overloaded, UpstreamRefused, UpstreamTimeout, UpstreamUnavailable
from proxy.core.pools.breaker import BreakerState
from proxy.core.pools.health import Probe
from proxy.engine.pools.dial import DialFailed
from proxy.engine.pools.members import MemberState
from proxy.engine.pools.pool import Pool
from proxy.engine.pools.tests.pooled import BREAKER, A, B, Clock, Service, dial, make, member


async def test_a_member_that_keeps_failing_is_not_even_tried_until_its_trial() -> None:
    clock = Clock()
    pool, service = make(A, B, clock=clock), Service()
    service.down = {A: DialFailed("refused")}
    for _ in range(20):
        await dial(pool, service)
    assert service.dialled.count(A) == BREAKER.failures_to_open
    assert member(pool, A).state is MemberState.BROKEN
    clock.now, service.down = 1.5, {}
    for _ in range(4):
        await dial(pool, service)
    assert member(pool, A).state is MemberState.AVAILABLE


async def test_a_client_that_leaves_gives_its_trial_back() -> None:
    pool, service = make(A), Service()
    service.down = {A: None}
    dialling = asyncio.create_task(dial(pool, service))
    while not service.dialled:
        await asyncio.sleep(0)
    assert member(pool, A).links == 1
    dialling.cancel()
    await asyncio.wait([dialling])
    assert member(pool, A).links == 0
    assert pool.available == 1


async def test_links_of_different_clients_lost_right_after_their_start_open_the_breaker() -> None:
    pool, service = make(A), Service()
    leases = [await dial(pool, service, key=key) for key in ("ada", "bob")]
    for lease in leases:
        lease.release(lost=True)
    assert member(pool, A).state is MemberState.BROKEN


async def test_clients_whose_links_a_member_drops_do_not_shut_it_while_it_keeps_the_links_of_others() -> None:
    async def keep(pool: Pool, clock: Clock) -> None:
        await dial(pool, service, key="good")
        clock.now += 5.0

    async def close(pool: Pool, clock: Clock) -> None:
        (await dial(pool, service, key="good")).release()
        clock.now += 9.0

    for others in (keep, close):
        clock = Clock()
        pool, service = make(A, clock=clock, probe=Probe(fall=1)), Service()
        await others(pool, clock)
        for lease in [await dial(pool, service, key=key) for key in ("bad", "worse", "worst")]:
            lease.release(lost=True)
        assert member(pool, A).state is MemberState.AVAILABLE
        leases = [await dial(pool, service, key=key) for key in ("bad", "worse")]
        member(pool, A).probed(ok=False)
        for lease in leases:
            lease.release(lost=True)
        assert member(pool, A).breaker_state is BreakerState.OPEN, "its probes see it, too"


async def test_a_member_that_lets_everybody_in_and_drops_them_is_found_out_one_after_the_other() -> None:
    clock = Clock()
    pool, service = make(A, clock=clock), Service()
    crashed = [await dial(pool, service, key="long ago"), await dial(pool, service, key="lately")]
    clock.now = 60.0
    for lease in crashed:
        lease.release(lost=True)
    for key in ("ada", "bob"):
        (await dial(pool, service, key=key)).release(lost=True)
    assert member(pool, A).state is MemberState.BROKEN


async def test_links_that_were_lost_early_are_forgotten_when_another_one_is_kept() -> None:
    clock = Clock()
    pool, service = make(A, clock=clock), Service()
    (await dial(pool, service, key="ada")).release(lost=True)
    (await dial(pool, service, key="bob")).release()
    clock.now = 60.0
    (await dial(pool, service, key="bob")).release(lost=True)
    assert member(pool, A).state is MemberState.AVAILABLE


async def test_one_client_cannot_open_a_breaker_by_what_its_requests_make_a_member_do() -> None:
    pool, service = make(A), Service()
    for lease in [await dial(pool, service, key="bad") for _ in range(9)]:
        lease.release(lost=True)
    service.connects = True
    for failure in (UpstreamRefused("status 500", upstream_status=500), UpstreamTimeout()):
        service.down = {A: failure}
        for _ in range(9):
            with pytest.raises(type(failure)):
                await dial(pool, service, key="bad")
    assert member(pool, A).state is MemberState.AVAILABLE


async def test_a_member_that_takes_no_connection_is_to_blame_whoever_asks() -> None:
    for failure in (DialFailed("refused"), UpstreamTimeout()):
        pool, service = make(A), Service()
        service.down = {A: failure}
        for _ in range(BREAKER.failures_to_open):
            with pytest.raises((UpstreamUnavailable, UpstreamTimeout)):
                await dial(pool, service, key="one")
        assert member(pool, A).state is MemberState.BROKEN


async def test_what_the_probes_see_as_well_is_no_clients_doing() -> None:
    pool, service = make(A, probe=Probe(fall=1)), Service()
    leases = [await dial(pool, service, key="one") for _ in range(2)]
    member(pool, A).probed(ok=False)
    for lease in leases:
        lease.release(lost=True)
    assert member(pool, A).breaker_state is BreakerState.OPEN
    member(pool, A).probed(ok=True)
    assert member(pool, A).breaker_state is BreakerState.HALF_OPEN


async def test_a_client_whose_trial_failed_leaves_the_next_ones_to_others() -> None:
    clock = Clock()
    pool, service = make(A, clock=clock), Service()
    service.down, service.connects = {A: UpstreamRefused("status 500", upstream_status=500)}, True
    for key in ("bad", "worse"):
        with pytest.raises(UpstreamRefused):
            await dial(pool, service, key=key)
    clock.now = 1.0
    with pytest.raises(UpstreamRefused):
        await dial(pool, service, key="bad")
    clock.now = 3.0
    with pytest.raises(UpstreamUnavailable):
        await dial(pool, service, key="bad")
    service.down = {}
    assert (await dial(pool, service, key="good")).member == A


async def test_a_node_without_a_socket_left_blames_no_member() -> None:
    pool, service = make(A, B), Service()
    service.down = {A: Overloaded("no files"), B: Overloaded("no files")}
    for _ in range(9):
        with pytest.raises(Overloaded):
            await dial(pool, service)
    assert pool.available == 2


async def test_a_refusal_for_an_open_breaker_says_when_to_come_back() -> None:
    pool, service = make(A), Service()
    service.down = {A: DialFailed("refused")}
    for _ in range(BREAKER.failures_to_open):
        with pytest.raises(UpstreamUnavailable):
            await dial(pool, service)
    pool.all_members()[0].breaker._opened_until = 9.5  # type: ignore[union-attr]
    with pytest.raises(UpstreamUnavailable) as refused:
        await dial(pool, service)
    assert refused.value.retry_after_seconds == 9.5
