"""What becomes of admissions that wait while a real Valkey is killed, frozen or emptied under them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from config.testing.servers import ValkeyServer
from proxy.core.errors import TooMany
from proxy.core.limits import ConnectionLimits
from proxy.engine.admission import shared_caps
from proxy.engine.admission.caps import Admission
from proxy.engine.admission.tests.test_caps import FAST, Script, come, node

pytestmark = pytest.mark.long

LEASES_OF_7 = "gateway:lease:user:default:7"


def caps(per_user: int) -> ConnectionLimits:
    return ConnectionLimits(name="default", per_address=100, per_user=per_user, connect_rate=FAST)


def admitting(admission: Admission, link_id: str, *, per_user: int) -> asyncio.Task[Any]:
    return asyncio.create_task(admission.admit(link_id, caps(per_user), address="", user_id="7"))


async def links(script: Script) -> list[str]:
    """Those that Valkey counts for the user, oldest first."""
    return [member.decode() for member in await script.redis.zrange(LEASES_OF_7, 0, -1)]


async def asked_while_a_beat_is_held_up(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the next beat is under way and does not come back."""
    monkeypatch.setattr(shared_caps, "BEAT_SECONDS", 0.05)
    script.asks.shut()
    await script.asks.reached.wait()


@pytest.mark.parametrize("end", [ValkeyServer.kill, ValkeyServer.freeze], ids=["killed", "frozen"])
async def test_who_waits_when_redis_goes_away_does_not_count_against_who_waits_too(
    valkey: ValkeyServer, end: Callable[[ValkeyServer], None]
) -> None:
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        script.asks.shut()
        waiting = [admitting(admission, f"a{number}", per_user=5) for number in range(12)]
        await script.asks.reached.wait()
        end(valkey)
        script.asks.open()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(answer, TooMany) for answer in answers] == [False] * 5 + [True] * 7
        assert [lease.link_id for lease in admission.live()] == [f"a{number}" for number in range(5)]
        valkey.ensure_running()
        while sorted(await links(script)) != [f"a:a{number}" for number in range(5)]:
            await asyncio.sleep(0.02)


async def test_who_waits_when_redis_goes_away_is_not_what_gives_way(valkey: ValkeyServer) -> None:
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        script.asks.shut()
        waiting = [admitting(admission, f"a{number}", per_user=2) for number in range(4)]
        await script.asks.reached.wait()
        valkey.kill()
        script.asks.open()
        seats = await asyncio.gather(*waiting)
        for seat in seats[1:]:  # and the first is dialled still
            admission.opened(seat)
        await asyncio.sleep(0)
    assert replaced == ["a1"], "the oldest of those that were let in"


@pytest.mark.parametrize("end", [ValkeyServer.kill, ValkeyServer.freeze], ids=["killed", "frozen"])
async def test_who_comes_while_a_beat_fails_goes_on_alone_and_does_not_wait_for_redis_return(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, end: Callable[[ValkeyServer], None]
) -> None:
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        await asked_while_a_beat_is_held_up(script, monkeypatch)
        waiting = [admitting(admission, f"a{number}", per_user=1) for number in range(2)]
        await asyncio.sleep(0)
        end(valkey)
        script.asks.open()
        granted, refused = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(refused, TooMany)
        assert admission.live() == [granted]


async def test_who_waits_while_redis_forgets_everything_is_counted_after_all_live_links(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_caps, "CALL_SECONDS", 20)
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        held = await admission.admit("held", caps(1), address="", user_id="7")
        await asked_while_a_beat_is_held_up(script, monkeypatch)
        waiting = admitting(admission, "waits", per_user=1)
        await asyncio.sleep(0)
        await asyncio.to_thread(valkey.flush)
        script.asks.open()
        with pytest.raises(TooMany):
            await waiting
        assert admission.live() == [held]
        assert await links(script) == ["a:held"]


async def test_who_waits_when_the_node_stops_counting_is_answered(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_caps, "CALL_SECONDS", 20)
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        await asked_while_a_beat_is_held_up(script, monkeypatch)
        waiting = admitting(admission, "waits", per_user=1)
        await asyncio.sleep(0)
        running = next(task for task in asyncio.all_tasks() if "SharedCaps.run" in repr(task.get_coro()))
        running.cancel()
        lease = await waiting
        assert admission.live() == [lease]
        assert admission.shared is not None
        assert not admission.shared.connected


async def test_a_link_gives_way_for_good_though_the_one_that_replaced_it_ended_before_that_was_known(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_caps, "CALL_SECONDS", 20)
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        await come(admission, "oldest", caps(1), user_id="7")
        newest = await admission.admit("newest", caps(1), address="", user_id="7")
        script.answers.shut()
        admission.opened(newest)
        await script.answers.reached.wait()
        admission.release(newest)
        script.answers.open()
        while not replaced or await links(script):
            await asyncio.sleep(0.02)
        assert replaced == ["oldest"]
        assert [lease.link_id for lease in admission.live()] == ["oldest"], "until its link has ended"


async def test_of_links_that_are_let_in_together_as_many_stay_as_may(valkey: ValkeyServer) -> None:
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        seats = [await admission.admit(f"a{n}", caps(2), address="", user_id="7") for n in range(5)]
        for seat in seats:
            admission.opened(seat)
        while len(replaced) < 3:
            await asyncio.sleep(0.005)
        assert {f"a:{link}" for link in replaced}.isdisjoint(await links(script))
        assert len(await links(script)) == 2


@pytest.mark.parametrize("end", [ValkeyServer.kill, ValkeyServer.freeze], ids=["killed", "frozen"])
async def test_a_link_that_is_let_in_as_redis_goes_away_replaces_one_of_its_node(
    valkey: ValkeyServer, end: Callable[[ValkeyServer], None]
) -> None:
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        await come(admission, "oldest", caps(1), user_id="7")
        newest = await admission.admit("newest", caps(1), address="", user_id="7")
        script.asks.shut()
        admission.opened(newest)
        await script.asks.reached.wait()
        end(valkey)
        script.asks.open()
        while not replaced:
            await asyncio.sleep(0.005)
        assert replaced == ["oldest"]
        valkey.ensure_running()


async def test_a_replaced_link_takes_no_place_again_when_redis_goes_or_forgets(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes its time to end, and must neither give way a second time nor be counted again meanwhile."""
    monkeypatch.setattr(shared_caps, "BEAT_SECONDS", 0.05)
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        for number in range(2):
            await come(admission, f"a{number}", caps(1), user_id="7")
        while not replaced:
            await asyncio.sleep(0.005)
        await asyncio.to_thread(valkey.flush)
        while not await links(script):
            await asyncio.sleep(0.02)
        assert await links(script) == ["a:a1"]
        valkey.kill()
        await come(admission, "a2", caps(1), user_id="7")
        while len(replaced) < 2:
            await asyncio.sleep(0.005)
        assert replaced == ["a0", "a1"]


@pytest.mark.parametrize("answers", [[], [b""], [b""] * 4, None])
async def test_who_waits_is_answered_though_redis_says_something_that_makes_no_sense(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, answers: Any
) -> None:
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        with monkeypatch.context() as nonsense:

            async def answer(_: Any) -> Any:
                return answers

            assert admission.shared is not None
            nonsense.setattr(admission.shared, "_run_script", answer)
            waiting = [admitting(admission, f"a{number}", per_user=3) for number in range(3)]
            await asyncio.gather(*waiting)
        while sorted(await links(script)) != ["a:a0", "a:a1", "a:a2"]:
            await asyncio.sleep(0.02)


async def test_who_waits_is_answered_though_telling_of_a_replaced_link_fails(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, _, _):

        def fail(*_: str) -> None:
            raise RuntimeError("no task left")

        await come(admission, "oldest", caps(1), user_id="7")
        assert admission.shared is not None
        with monkeypatch.context() as broken:
            broken.setattr(admission.shared, "_replaced", fail)
            await come(admission, "newest", caps(1), user_id="7")
            await asyncio.gather(*[admitting(admission, f"a{number}", per_user=1) for number in range(3)])


async def test_the_oldest_is_still_the_oldest_after_redis_has_lost_its_memory(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_caps, "BEAT_SECONDS", 0.05)
    ids = ["z", "m", "a", *(f"{n:02d}" for n in reversed(range(40)))]  # not as the alphabet has them
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        for each in ids:
            await come(admission, each, caps(len(ids)), user_id="7")
        while len(await links(script)) < len(ids):
            await asyncio.sleep(0.005)
        await asyncio.to_thread(valkey.flush)
        while len(await links(script)) < len(ids):
            await asyncio.sleep(0.02)
        assert await links(script) == [f"a:{each}" for each in ids]
        await come(admission, "newest", caps(len(ids)), user_id="7")
        while not replaced:
            await asyncio.sleep(0.005)
        assert replaced == ["z"]


async def test_what_nodes_let_in_while_redis_was_away_gives_way_once_it_is_back(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_caps, "BEAT_SECONDS", 0.05)
    first, second = node(valkey, "a", replace_oldest=True), node(valkey, "b", replace_oldest=True)
    async with asyncio.timeout(30), first as (a, script, replaced_by_a), second as (b, _, replaced_by_b):
        valkey.kill()
        shared = [each.shared for each in (a, b) if each.shared is not None]
        while any(each.connected for each in shared):
            await asyncio.sleep(0.02)
        for number in range(3):
            await come(a, f"a{number}", caps(3), user_id="7")
            await come(b, f"b{number}", caps(3), user_id="7")
        assert replaced_by_a + replaced_by_b == []
        valkey.ensure_running()
        while len(await links(script)) < 6:
            await asyncio.sleep(0.02)
        await come(a, "newest", caps(3), user_id="7")
        while len(replaced_by_a) < 4:
            await asyncio.sleep(0.005)
        left = await links(script)
        assert len(left) == 3
        assert "a:newest" in left


async def test_a_link_that_was_written_again_before_it_came_counts_once(valkey: ValkeyServer) -> None:
    async with asyncio.timeout(30), node(valkey, "a", replace_oldest=True) as (admission, script, replaced):
        await come(admission, "oldest", caps(2), user_id="7")
        while not await links(script):
            await asyncio.sleep(0.005)
        await script.redis.zadd(LEASES_OF_7, {"a:newest": 1})
        await come(admission, "newest", caps(2), user_id="7")
        await come(admission, "of another", caps(2), user_id="8")  # asked behind it
        await asyncio.sleep(0)
        assert replaced == []
        assert await links(script) == ["a:oldest", "a:newest"]


async def test_a_link_that_another_policy_replaced_while_it_was_dialled_ends_as_it_is_let_in(
    valkey: ValkeyServer,
) -> None:
    first, second = node(valkey, "a"), node(valkey, "b", replace_oldest=True)
    async with asyncio.timeout(30), first as (a, _, replaced_by_a), second as (b, _, replaced_by_b):
        dialled = await a.admit("dialled", caps(1), address="", user_id="7")
        await come(b, "newest", caps(1), user_id="7")
        while not replaced_by_b:
            await asyncio.sleep(0.005)
        a.replaced(*replaced_by_b)
        a.opened(dialled)
        await asyncio.sleep(0)
        assert replaced_by_a == replaced_by_b == ["dialled"]


async def test_who_comes_does_not_wait_until_all_seats_are_written_again(valkey: ValkeyServer) -> None:
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        assert admission.shared is not None
        held = [admitting(admission, f"a{number}", per_user=2000) for number in range(1000)]
        released = (await asyncio.gather(*held))[500:510]
        await asyncio.to_thread(valkey.flush)
        admission.shared._keep_all()
        before = script.calls
        for seat in released:  # before they are written
            admission.release(seat)
        await admission.admit("late", caps(2000), address="", user_id="7")
        assert script.calls - before <= 3
        while len(await links(script)) < 991 or admission.shared._to_keep:
            await asyncio.sleep(0.02)
        await admission.admit("last", caps(2000), address="", user_id="7")
        written = await links(script)
        assert len(written) == len(set(written)) == 992
        assert not {f"a:{seat.link_id}" for seat in released} & set(written)


async def test_who_has_waited_too_long_for_a_call_is_let_in_alone_and_written_later(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_caps, "CALL_SECONDS", 20)
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        script.answers.shut()
        first = admitting(admission, "first", per_user=2)
        await script.answers.reached.wait()
        monkeypatch.setattr(shared_caps, "MOST_WAITING_SECONDS", -1.0)
        late = admitting(admission, "late", per_user=2)
        await asyncio.sleep(0)
        script.answers.open()
        await asyncio.gather(first, late)
        while await links(script) != ["a:first", "a:late"]:
            await asyncio.sleep(0.02)


async def test_what_dead_nodes_hold_is_looked_for_once_a_second(valkey: ValkeyServer) -> None:
    swept = "gateway:lease:swept:user:default:7"
    async with asyncio.timeout(30), node(valkey, "a") as (admission, script, _):
        await script.redis.zadd(LEASES_OF_7, {"dead:x": 1, "dead:y": 2})
        await admission.admit("first", caps(2), address="", user_id="7")
        assert await links(script) == ["a:first"]
        assert 0 < await script.redis.pttl(swept) <= 1000
        await script.redis.set(swept, "", px=60_000)  # as if no time passed
        await script.redis.zadd(LEASES_OF_7, {"dead:z": 3})
        with pytest.raises(TooMany):
            await admission.admit("second", caps(2), address="", user_id="7")
        await script.redis.delete(swept)
        await admission.admit("second", caps(2), address="", user_id="7")
        assert await links(script) == ["a:first", "a:second"]
