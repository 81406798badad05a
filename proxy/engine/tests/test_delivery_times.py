"""How long an event took is known once all links have it, and not before."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy import metrics
from proxy.core.events import Event
from proxy.engine import deliveries
from proxy.engine.deliveries import FEW, Deliveries
from proxy.engine.delivery_times import LastListener
from proxy.engine.sampler import read_totals


def timed() -> int:
    return sum(read_totals().deliveries)


class Ear:
    """Notes how many events had been timed when it heard one."""

    def __init__(self, *, gathers: bool) -> None:
        self.gathers, self.timed_before = gathers, list[int]()

    def inject(self, *events: Event) -> None:
        self.timed_before += [timed() for _ in events]


@pytest.mark.parametrize("others", [1, FEW - 1, FEW + 1, 3 * FEW])
@pytest.mark.parametrize("gathers", [True, False])
async def test_an_event_is_timed_when_its_last_link_has_got_it(
    others: int, gathers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "TURN_SECONDS", 0)  # a link a turn
    ears, made, before = [Ear(gathers=gathers) for _ in range(others + 1)], Deliveries(), timed()
    made.give(Event("of one of them, to begin with"), ears[-1:])
    made.give(Event("{}"), (*ears, LastListener(time.time() - 0.3)))
    async with asyncio.timeout(5):
        while timed() == before:
            await asyncio.sleep(0)
    assert all(ear.timed_before[-1] == before for ear in ears)
    assert len(ears[-1].timed_before) == 2


@pytest.mark.parametrize(("ahead_seconds", "counted"), [(60.0, 0.0), (-0.3, 0.3)])
def test_a_publishers_clock_that_is_ahead_of_ours_takes_nothing_away(
    ahead_seconds: float, counted: float
) -> None:
    before = metrics.EVENT_DELIVERY_SECONDS._sum.get()
    LastListener(time.time() + ahead_seconds).inject(Event("{}"))
    assert metrics.EVENT_DELIVERY_SECONDS._sum.get() - before == pytest.approx(counted, abs=0.1)
