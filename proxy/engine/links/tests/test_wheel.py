"""The clock of all links: what is due is looked at, once, in time; what is forgotten is not."""

from __future__ import annotations

import asyncio

from proxy.engine.links.tests.splicing import on_both_loops, until
from proxy.engine.links.wheel import TICK_SECONDS, Wheel, running_wheel


class Noted:
    def __init__(self, *, fails: bool = False) -> None:
        self.slot, self.looks, self._fails = -1, list[float](), fails
        self.is_aborted = False

    def look(self, now: float) -> None:
        self.looks.append(now)
        if self._fails:
            raise RuntimeError("a link's fault")

    def abort(self) -> None:
        self.is_aborted = True


@on_both_loops
async def test_what_is_due_is_looked_at_once_and_not_before_its_time() -> None:
    wheel, due = Wheel(), Noted()
    at = asyncio.get_running_loop().time() + 0.25
    wheel.schedule(due, at + 5)
    wheel.schedule(due, at)
    assert [len(dues) for dues in wheel._slots.values()] == [1]
    await until(lambda: bool(due.looks))
    assert at <= due.looks[0] < at + 10 * TICK_SECONDS
    assert (wheel._slots, due.slot) == ({}, -1)


@on_both_loops
async def test_what_is_forgotten_is_not_looked_at_and_a_time_in_the_past_means_soon() -> None:
    wheel, forgotten, late = Wheel(), Noted(), Noted()
    now = asyncio.get_running_loop().time()
    wheel.schedule(forgotten, now)
    wheel.schedule(late, now - 100)
    wheel.forget(forgotten)
    await until(lambda: bool(late.looks))
    assert forgotten.looks == []


@on_both_loops
async def test_one_links_fault_ends_that_link_and_does_not_stop_the_clock_of_the_others() -> None:
    wheel, now = running_wheel(), asyncio.get_running_loop().time()
    links = [Noted(fails=number % 2 == 0) for number in range(6)]
    for link in links:
        wheel.schedule(link, now)
    await until(lambda: all(link.looks for link in links))
    assert [link.is_aborted for link in links] == [True, False] * 3
    assert running_wheel() is wheel
