"""Whom a pool chooses, in which turn, and what it tells of those that fail."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from proxy import metrics
from proxy.core.errors import NoMembers, Overloaded, UpstreamRefused, UpstreamTimeout, UpstreamUnavailable
from proxy.core.pools.balancing import PolicyName
from proxy.core.pools.health import Probe
from proxy.core.routes import MemberSpec
from proxy.engine.pools.dial import DialFailed, DialRequest, Target
from proxy.engine.pools.pool import MemberLease
from proxy.engine.pools.tests.pooled import A, B, C, Clock, Service, dial, make, member
from proxy.tests.counting import counted


async def test_a_failed_dial_goes_on_to_the_next_member() -> None:
    pool, service = make(A, B), Service()
    service.down = {A: DialFailed("refused")}
    leases = [await dial(pool, service) for _ in range(10)]
    assert {lease.member for lease in leases} == {B}
    assert member(pool, A).last_error == "refused"
    assert member(pool, A).links == 0


async def test_the_time_that_a_members_dials_take_is_shown_as_an_average_that_follows_slowly() -> None:
    clock = Clock()
    pool = make(A, clock=clock)
    assert member(pool, A).dial_seconds is None
    shown = []
    for seconds in (1.0, 2.0, 2.0):

        async def slow(target: Target, request: DialRequest, seconds: float = seconds) -> str:
            clock.now += seconds
            return target.url

        await pool.dial(slow, DialRequest(), key="ada")
        shown.append(member(pool, A).dial_seconds)
    assert shown == pytest.approx([1.0, 1.2, 1.36])


async def test_a_member_that_hangs_leaves_time_for_the_next() -> None:
    pool, service = make(A, B, dial_seconds=0.4), Service()
    service.down = {A: None}
    for _ in range(2):
        assert (await dial(pool, service)).member == B


async def test_dials_beyond_the_bound_queue_and_are_overloaded_after_the_time_of_a_dial() -> None:
    pool, service = make(A, dial_seconds=0.05, turns=1), Service()
    async with pool._turn():
        with pytest.raises(Overloaded):
            await dial(pool, service)
    assert (await dial(pool, service)).member == A


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (DialFailed("refused"), UpstreamUnavailable),
        (UpstreamTimeout(), UpstreamTimeout),
        (UpstreamRefused("status 500", upstream_status=500), UpstreamRefused),
        (UpstreamRefused("broken handshake"), UpstreamRefused),
    ],
)
async def test_when_all_fail_the_last_failure_is_told(error: Exception, raised: type[Exception]) -> None:
    pool, service = make(A, B), Service()
    service.down = {A: error, B: error}
    with pytest.raises(raised):
        await dial(pool, service)
    assert sorted(service.dialled) == [A, B]


@pytest.mark.parametrize(
    ("error", "kind"), [(DialFailed("refused"), "dial_failed"), (UpstreamTimeout(), UpstreamTimeout.code)]
)
async def test_a_failed_dial_is_counted_by_its_kind_under_its_member(error: Exception, kind: str) -> None:
    pool, service = make(A, B, policy=PolicyName.ROUND_ROBIN), Service()
    service.down = {A: error}
    before = [counted(metrics.ERRORS_TOTAL, kind, url) for url in (A, B)]
    assert (await dial(pool, service)).member == B
    assert [counted(metrics.ERRORS_TOTAL, kind, url) for url in (A, B)] == [before[0] + 1, before[1]]


@pytest.mark.parametrize(("setting", "why"), [("", ""), ("STUDIO_WS_URLS", ": STUDIO_WS_URLS is unset")])
async def test_a_pool_without_members_says_so(setting: str, why: str) -> None:
    with pytest.raises(NoMembers, match=f"studio.*it has no members{why}$") as raised:
        await dial(make(setting=setting), Service())
    assert raised.value.message == "No service is configured for this path."


async def test_whoever_waited_for_a_turn_has_the_whole_time_to_dial() -> None:
    clock, asked, answer = Clock(), list[float](), asyncio.Event()
    pool = make(A, clock=clock, dial_seconds=5.0, turns=1)

    async def slow(target: Target, request: DialRequest) -> str:
        asked.append(target.seconds)
        await answer.wait()
        return target.url

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for key in ("first", "second"):
            tasks.create_task(pool.dial(slow, DialRequest(), key=key))
        while not asked:
            await asyncio.sleep(0)
        clock.now = 4.9
        answer.set()
    assert asked == [5.0, 5.0]


async def test_draining_full_and_unhealthy_members_get_no_new_links() -> None:
    pool, service = make(A, B, C, probe=Probe(fall=1)), Service()
    pool.apply([MemberSpec(url=A, draining=True), MemberSpec(url=B, max_connections=2), MemberSpec(url=C)])
    member(pool, C).probed(ok=False, why="down")
    leases = [await dial(pool, service) for _ in range(2)]
    assert {lease.member for lease in leases} == {B}
    with pytest.raises(UpstreamUnavailable, match="1 draining, 1 full, 1 unhealthy"):
        await dial(pool, service)
    leases[0].release()
    assert (await dial(pool, service)).member == B


async def test_members_come_and_go_without_touching_the_links_of_others() -> None:
    pool, service = make(A, B), Service()
    leases = [await dial(pool, service) for _ in range(4)]
    draining = pool.apply([MemberSpec(url=B, weight=3), MemberSpec(url=C)])
    assert [gone.url for gone in draining] == [A]
    assert pool.members == (B, C)
    assert member(pool, B).links == 2
    for lease in leases:
        lease.release()
    assert {known.url for known in pool.all_members()} == {B, C}


@pytest.mark.parametrize("name", [PolicyName.ROUND_ROBIN, PolicyName.LEAST_CONNECTIONS])
async def test_dials_that_run_at_once_are_spread_evenly(name: PolicyName) -> None:
    pool, service = make(A, B, C, policy=name), Service()
    leases = await asyncio.gather(*(dial(pool, service) for _ in range(99)))
    assert Counter(lease.member for lease in leases) == {A: 33, B: 33, C: 33}


async def test_affinity_keeps_a_user_on_its_member() -> None:
    pool, service = make(A, B, C, policy=PolicyName.AFFINITY), Service()
    leases = [await dial(pool, service, key="user 7") for _ in range(10)]
    assert len({lease.member for lease in leases}) == 1


async def test_a_pool_whose_members_hang_holds_up_no_other_pools_dials() -> None:
    hanging, service = make(A, turns=2), Service()
    service.down = {A: None}
    dials = [asyncio.create_task(dial(hanging, service, key=str(number))) for number in range(5)]
    while len(service.dialled) < 2:
        await asyncio.sleep(0)
    assert (await dial(make(B, turns=2), service)).member == B
    for each in dials:
        each.cancel()
    await asyncio.wait(dials)
    assert hanging.all_members()[0].links == 0


async def test_where_the_probes_find_nobody_well_dials_are_tried_all_the_same() -> None:
    pool, service = make(A, B, probe=Probe(fall=1)), Service()
    member(pool, A).probed(ok=False)
    assert {(await dial(pool, service)).member for _ in range(3)} == {B}
    member(pool, B).probed(ok=False)
    assert {(await dial(pool, service)).member for _ in range(4)} == {A, B}
    assert pool.available == 0


async def test_while_somebody_is_well_though_full_those_that_are_not_stay_left_out() -> None:
    pool, service = make(A, B, probe=Probe(fall=1)), Service()
    pool.apply([MemberSpec(url=A, max_connections=1), MemberSpec(url=B)])
    member(pool, B).probed(ok=False)
    assert (await dial(pool, service)).member == A
    with pytest.raises(UpstreamUnavailable, match="1 full, 1 unhealthy"):
        await dial(pool, service)


async def test_where_the_probes_find_nobody_well_a_full_member_and_one_that_drains_stay_left_out() -> None:
    pool, service = make(A, B, C, probe=Probe(fall=1)), Service()
    full, draining = MemberSpec(url=A, max_connections=1), MemberSpec(url=B, draining=True)
    pool.apply([full, draining, MemberSpec(url=C, draining=True)])
    assert (await dial(pool, service)).member == A
    pool.apply([full, draining, MemberSpec(url=C)])
    for url in (A, B, C):
        member(pool, url).probed(ok=False)
    assert {(await dial(pool, service)).member for _ in range(4)} == {C}


@pytest.mark.parametrize(
    ("member_url", "filled", "replaced"),
    [
        ("ws://a:1/", "ws://a:1/ws", "ws://a:1/ws"),
        ("ws://a:1", "ws://a:1/ws", "ws://a:1/ws"),
        ("ws://a:1/own", "ws://a:1/own", "ws://a:1/ws"),
        ("ws://[::1]:1/own/", "ws://[::1]:1/own/", "ws://[::1]:1/ws"),
    ],
)
def test_a_clients_path_is_for_members_without_one_or_for_all(
    member_url: str, filled: str, replaced: str
) -> None:
    assert DialRequest(path="/ws").target(member_url) == filled
    assert DialRequest(path="/ws", replaces_path=True).target(member_url) == replaced
    assert DialRequest().target(member_url) == member_url


async def test_who_waits_for_a_turn_goes_to_whoever_is_well_when_it_comes() -> None:
    policy = PolicyName.LEAST_CONNECTIONS
    pool, service = make(B, clock=time.monotonic, dial_seconds=1.0, turns=5, policy=policy), Service()
    for number in range(25):
        await dial(pool, service, key=f"before-{number}")
    pool.apply([MemberSpec(url=A), MemberSpec(url=B)])
    service.down = {A: None}  # it is new, so it draws everybody, and hangs
    dials = [dial(pool, service, key=str(number)) for number in range(25)]
    answers = await asyncio.gather(*dials, return_exceptions=True)
    assert sum(isinstance(answer, MemberLease) for answer in answers) == 25


def test_a_member_whose_path_nobody_can_fill_is_tried_like_one_that_does_not_answer() -> None:
    with pytest.raises(DialFailed, match=r"no path captures \{shop\}"):
        DialRequest(captures={"room": "a"}).target("ws://shops:1/{shop}/{room}")
