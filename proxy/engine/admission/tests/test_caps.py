from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.core.errors import TooMany
from proxy.core.limits import ConnectionLimits, Rate
from proxy.engine.admission.caps import Admission
from proxy.engine.admission.shared_caps import SCRIPT, Seat

pytestmark = pytest.mark.long

FAST = Rate(1_000_000, 1)
Node = Callable[[str], Any]


class Gate:
    """Holds up who comes while it is shut."""

    def __init__(self) -> None:
        self._open, self.reached = asyncio.Event(), asyncio.Event()
        self.open()

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        self._open.clear()
        self.reached.clear()

    async def pass_through(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            await self._open.wait()


class Script:
    """Calls a real Valkey. `asks` and `answers` can hold them up on their way there and back."""

    def __init__(self, url: str) -> None:
        self.redis: Any = Redis.from_url(url, socket_timeout=1)
        self.calls = 0
        self.asks, self.answers = Gate(), Gate()

    async def __call__(self, words: Sequence[str]) -> Sequence[Any]:
        self.calls += 1
        await self.asks.pass_through()
        answer: Sequence[Any] = await self.redis.eval(SCRIPT, 0, *words)
        await self.answers.pass_through()
        return answer


@asynccontextmanager
async def node(
    valkey: ValkeyServer, name: str, *, replace_oldest: bool = False
) -> AsyncIterator[tuple[Admission, Script, list[str]]]:
    replaced: list[str] = []

    async def replace(_: str, link_id: str) -> None:
        replaced.append(link_id)

    script = Script(valkey.url)
    admission = Admission(node_id=name, replace=replace, replace_oldest=replace_oldest, run_script=script)
    assert admission.shared is not None
    running = asyncio.create_task(admission.shared.run())
    try:
        async with asyncio.timeout(30):
            while not admission.shared.connected:
                await asyncio.sleep(0.01)
            yield admission, script, replaced
    finally:
        running.cancel()
        await asyncio.wait([running])
        await script.redis.aclose()


async def come(admission: Admission, link_id: str, caps: ConnectionLimits, *, user_id: str) -> Seat:
    """A link that is admitted and let in."""
    seat = await admission.admit(link_id, caps, address="", user_id=user_id)
    admission.opened(seat)
    return seat


def alone() -> Admission:
    async def replace(node_id: str, link_id: str) -> None: ...

    return Admission(node_id="a", replace=replace)


async def test_an_address_that_is_full_on_this_node_is_refused_without_asking_anybody() -> None:
    admission, caps = alone(), ConnectionLimits(per_address=2, per_user=100, connect_rate=FAST)
    for link_id in ("1", "2"):
        admission.check_address(caps, "192.0.2.1")
        seat = await admission.admit(link_id, caps, address="192.0.2.1", user_id="ada")
    for address in ("192.0.2.2", ""):
        admission.check_address(caps, address)
    with pytest.raises(TooMany) as refused:
        admission.check_address(caps, "192.0.2.1")
    assert refused.value.which == "per_ip"
    admission.release(seat)
    admission.check_address(caps, "192.0.2.1")


async def test_two_nodes_count_together_and_give_back(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(per_address=3, per_user=100, connect_rate=FAST)
    async with node(valkey, "a") as (a, _, _), node(valkey, "b") as (b, _, _):
        leases = [
            await a.admit(f"a{number}", caps, address="192.0.2.1", user_id=str(number)) for number in range(2)
        ]
        await b.admit("b0", caps, address="192.0.2.1", user_id="9")
        for admission in (a, b):
            with pytest.raises(TooMany) as refused:
                await admission.admit("x", caps, address="192.0.2.1", user_id="10")
            assert refused.value.which == "per_ip"
        await b.admit("b1", caps, address="192.0.2.2", user_id="9")
        a.release(leases[0])
        a.release(leases[0])
        while True:  # a release does not wait for Redis
            try:
                await b.admit("b2", caps, address="192.0.2.1", user_id="9")
                break
            except TooMany:
                continue
        with pytest.raises(TooMany):
            await a.admit("a9", caps, address="192.0.2.1", user_id="9")


async def test_the_oldest_link_of_a_user_is_replaced(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(name="default", per_address=100, per_user=2, connect_rate=FAST)
    async with (
        node(valkey, "a", replace_oldest=True) as (a, _, _),
        node(valkey, "b", replace_oldest=True) as (b, script, replaced),
        asyncio.timeout(30),
    ):
        await come(a, "first", caps, user_id="7")
        while await script.redis.zcard("gateway:lease:user:default:7") < 1:
            await asyncio.sleep(0.005)
        await come(b, "second", caps, user_id="7")
        await come(b, "third", caps, user_id="7")
        while not replaced:
            await asyncio.sleep(0.005)
    assert replaced == ["first"]


@pytest.mark.parametrize("together", [False, True])
async def test_who_is_never_let_in_replaces_nobody_and_is_counted_nowhere(
    valkey: ValkeyServer, together: bool
) -> None:
    caps = ConnectionLimits(name="default", per_address=100, per_user=1, connect_rate=FAST)
    async with node(valkey, "a", replace_oldest=True) as (shared, script, replaced), asyncio.timeout(30):
        told: list[str] = []

        async def replace(_: str, link_id: str) -> None:
            told.append(link_id)

        admission = shared if together else Admission(node_id="n", replace=replace, replace_oldest=True)
        await come(admission, "oldest", caps, user_id="7")
        for number in range(5):
            refused = await admission.admit(f"refused{number}", caps, address="", user_id="7")
            admission.release(refused)
            admission.opened(refused)  # too late
        await come(admission, "newest", caps, user_id="7")
        ended = replaced if together else told
        while not ended:
            await asyncio.sleep(0.005)
        assert ended == ["oldest"]
        assert [seat.link_id for seat in admission.live()] == ["oldest", "newest"], "until its link has ended"
        assert admission._users.count("default:7") == 1
        while together and await script.redis.zrange("gateway:lease:user:default:7", 0, -1) != [b"a:newest"]:
            await asyncio.sleep(0.005)


async def test_a_rate_holds_over_all_nodes(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(per_address=100, per_user=100, connect_rate=Rate(4, 60))
    granted, waits = 0, []
    async with node(valkey, "a") as (a, _, _), node(valkey, "b") as (b, _, _):
        for number in range(10):
            try:
                await (a, b)[number % 2].admit(str(number), caps, address="192.0.2.1", user_id="")
                granted += 1
            except TooMany as refused:
                waits.append(refused.retry_after_seconds)
    assert granted == 4
    assert waits == [pytest.approx(15, abs=2)] * 6


async def test_handshakes_that_come_together_share_a_round_trip(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(per_address=1000, per_user=1000, connect_rate=FAST)
    async with node(valkey, "a") as (a, script, _):
        before = script.calls
        await asyncio.gather(
            *(a.admit(str(number), caps, address="192.0.2.1", user_id="7") for number in range(200))
        )
        assert script.calls - before <= 4


async def test_the_caps_of_a_node_hold_without_redis_and_its_memory_is_its_live_links() -> None:
    admission, caps = alone(), ConnectionLimits(per_address=2, per_user=100, connect_rate=FAST)
    for number in range(100_000):
        address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        admission.check_rate(caps, address)
        admission.release(await admission.admit(str(number), caps, address=address, user_id=str(number)))
    assert admission.live() == []
    assert not admission._addresses._links
    assert not admission._users._links
    assert len(admission._rates[caps.name]._full_at) <= 65_536
    for number in range(2):
        await admission.admit(str(number), caps, address="192.0.2.1", user_id="7")
    with pytest.raises(TooMany):
        await admission.admit("2", caps, address="192.0.2.1", user_id="7")


async def test_redis_going_away_and_coming_back_loses_no_lease(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(per_address=2, per_user=100, connect_rate=FAST)
    async with node(valkey, "a") as (a, _, _), node(valkey, "b") as (b, _, _):
        held = await a.admit("a0", caps, address="192.0.2.1", user_id="1")
        await a.admit("a1", caps, address="192.0.2.1", user_id="2")
        valkey.kill()
        await b.admit("b0", caps, address="192.0.2.9", user_id="3")  # by the node alone
        a.release(held)
        valkey.start()
        assert a.shared is not None
        assert b.shared is not None
        async with asyncio.timeout(15):
            while not (a.shared.connected and b.shared.connected):
                await asyncio.sleep(0.05)
        await b.admit("b1", caps, address="192.0.2.1", user_id="4")
        with pytest.raises(TooMany):
            await b.admit("b2", caps, address="192.0.2.1", user_id="5")


async def test_a_node_that_leaves_gives_back_even_what_was_on_its_way(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(name="default", per_address=9, per_user=9, connect_rate=FAST)
    async with node(valkey, "a") as (admission, script, _), asyncio.timeout(30):
        leases = [await admission.admit(str(n), caps, address="192.0.2.1", user_id="9") for n in range(3)]
        running = next(task for task in asyncio.all_tasks() if "SharedCaps.run" in repr(task.get_coro()))
        script.asks.shut()
        for lease in leases:
            admission.release(lease)
        await script.asks.reached.wait()
        running.cancel()  # in the middle of a call
        await asyncio.wait([running])
        script.asks.open()
        assert admission.shared is not None
        keys = ("gateway:lease:user:default:9", "gateway:lease:address:default:192.0.2.1")
        assert await script.redis.exists(*keys)
        await admission.shared.leave()
        assert not await script.redis.exists(*keys)


async def test_a_newer_link_does_not_wait_for_the_end_of_the_oldest() -> None:
    replacing, ended = asyncio.Event(), asyncio.Event()

    async def replace(*_: str) -> None:
        replacing.set()
        await ended.wait()

    caps = ConnectionLimits(per_address=9, per_user=1, connect_rate=Rate(100, 1))
    admission = Admission(node_id="n", replace=replace, replace_oldest=True)
    async with asyncio.timeout(30):
        oldest = await come(admission, "1", caps, user_id="ada")
        newest = await come(admission, "2", caps, user_id="ada")
        await replacing.wait()
        ended.set()
    assert admission.live() == [oldest, newest]


async def test_links_that_come_and_go_while_redis_is_away_cost_no_memory(valkey: ValkeyServer) -> None:
    caps = ConnectionLimits(per_address=100_000, per_user=100_000, connect_rate=FAST)
    async with asyncio.timeout(30), node(valkey, "a") as (a, _, _):
        before = [await a.admit(f"a{number}", caps, address="192.0.2.1", user_id="1") for number in range(10)]
        valkey.kill()
        assert a.shared is not None
        while a.shared.connected:
            await asyncio.sleep(0.05)
        for number in range(20_000):
            a.release(await a.admit(f"b{number}", caps, address="192.0.2.1", user_id="1"))
        for lease in before[:4]:
            a.release(lease)
        assert len(a.shared._waiting) == 4


async def test_links_that_ended_while_redis_was_silent_are_taken_out_when_it_answers(
    valkey: ValkeyServer,
) -> None:
    caps = ConnectionLimits(name="default", per_address=100, per_user=3, connect_rate=FAST)
    async with asyncio.timeout(40), node(valkey, "a") as (a, script, _):
        held = [await a.admit(f"a{number}", caps, address="", user_id="1") for number in range(2)]
        await script.redis.client_pause(3000)  # it will do then what it was told meanwhile
        held.append(await a.admit("a2", caps, address="", user_id="1"))  # granted by the node alone
        with pytest.raises(TooMany):
            await a.admit("a3", caps, address="", user_id="1")
        for lease in held:
            a.release(lease)
        assert a.shared is not None
        while not a.shared.connected or await script.redis.exists("gateway:lease:user:default:1"):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("together", [False, True])
async def test_links_are_counted_by_the_name_of_their_limits(valkey: ValkeyServer, together: bool) -> None:
    game = ConnectionLimits(name="game", per_address=3, per_user=2, connect_rate=Rate(3, 60))
    chat = ConnectionLimits(name="chat", per_address=9, per_user=1, connect_rate=FAST)
    async with node(valkey, "a") as (shared, _, _):
        admission = shared if together else alone()
        for link_id in ("1", "2"):
            await admission.admit(link_id, game, address="192.0.2.1", user_id="ada")
        await admission.admit("3", chat, address="192.0.2.1", user_id="ada")
        for limits, user, which, limit in (
            (game, "ada", "per_user", 2),
            (chat, "ada", "per_user", 1),
        ):
            with pytest.raises(TooMany) as refused:
                await admission.admit("x", limits, address="192.0.2.1", user_id=user)
            assert refused.value.which == which
            assert str(limit) in refused.value.message
        for limits, most in ((game, 3), (chat, 100)):
            for _ in range(most):
                admission.check_rate(limits, "192.0.2.9")
        with pytest.raises(TooMany):
            admission.check_rate(game, "192.0.2.9")
