"""Events for many links: in turns, each link's in their order, and none missing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.events import Event
from proxy.engine import deliveries
from proxy.engine.deliveries import Deliveries


class Ear:
    gathers = True

    def __init__(self) -> None:
        self.heard: list[str] = []

    def inject(self, *events: Event) -> None:
        if any(event.text == "raise" for event in events):
            raise RuntimeError("a link must not")
        self.heard += [event.text for event in events]


# An event for those links; the link that is hurried; None: a turn of the loop.
Step = set[int] | int | None
STEPS = st.lists(st.one_of(st.sets(st.integers(0, 5), min_size=1), st.integers(0, 5), st.none()), max_size=40)


@given(STEPS, st.integers(0, 3), st.integers(0, 12))
@settings(deadline=None)
def test_each_link_hears_all_that_it_was_given_in_that_order(
    steps: list[Step], few: int, most_waiting: int
) -> None:
    async def play() -> None:
        ears, given_to = [Ear() for _ in range(6)], [list[str]() for _ in range(6)]
        made = Deliveries()
        for number, of in enumerate(steps):
            if isinstance(of, set):
                for index in of:
                    given_to[index].append(str(number))
                made.give(Event(str(number)), [ears[index] for index in of])
            elif isinstance(of, int):
                made.hurry(ears[of])
                assert ears[of].heard == given_to[of]
            else:
                await asyncio.sleep(0)
        while made._turn is not None:
            await asyncio.sleep(0)
        assert [ear.heard for ear in ears] == given_to
        assert (made._count, len(made._first), len(made._then)) == (0, 0, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "FEW", few)
        patch.setattr(deliveries, "MOST_WAITING", most_waiting)
        patch.setattr(deliveries, "TURN_SECONDS", 0)
        asyncio.run(play())


async def test_others_have_their_turns_while_many_get_an_event() -> None:
    ears, made = [Ear() for _ in range(5000)], Deliveries()
    made.give(Event("all"), ears)
    turns = 0
    while not all(ear.heard for ear in ears):
        await asyncio.sleep(0)
        turns += 1
        assert turns < 5000
    assert made._turn is None


async def test_an_event_for_one_waits_for_no_other_link() -> None:
    ears, made, alone = [Ear() for _ in range(5000)], Deliveries(), Ear()
    made.give(Event("all"), ears)
    await asyncio.sleep(0)
    made.give(Event("one"), [alone])
    await asyncio.sleep(0)
    assert alone.heard == ["one"]
    assert not ears[-1].heard


async def test_what_one_turn_has_for_a_link_comes_together_in_bounded_parts() -> None:
    class Whole(Ear):
        def inject(self, *events: Event) -> None:
            self.heard.append("".join(event.text for event in events))

    made, ear, other = Deliveries(), Whole(), Whole()
    for number in range(5):
        made.give(Event(str(number)), [ear])
    made.give(Event("x" * 40_000), [ear, other])
    made.give(Event("y" * 40_000), [ear])
    await asyncio.sleep(0)
    assert ear.heard == ["01234" + "x" * 40_000, "y" * 40_000]
    assert other.heard == ["x" * 40_000]


async def test_who_does_not_gather_has_an_event_at_once_unless_another_waits_for_it() -> None:
    class AtOnce(Ear):
        gathers = False

    made, ears = Deliveries(), [AtOnce() for _ in range(100)]
    made.give(Event("first"), ears[:1])
    assert ears[0].heard == ["first"]
    made.give(Event("all"), ears)
    made.give(Event("behind"), ears[:1])
    assert ears[0].heard == ["first"]
    await asyncio.sleep(0)
    assert ears[0].heard == ["first", "all", "behind"]


async def test_what_waits_is_bounded_and_what_comes_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_WAITING", 500)
    ears, made = [Ear() for _ in range(400)], Deliveries()
    made.give(Event("first"), ears)
    made.give(Event("second"), ears)
    assert made._count <= 500
    assert sum(len(ear.heard) for ear in ears) == 800 - made._count


async def test_a_link_that_fails_costs_nobody_else_theirs(caplog: pytest.LogCaptureFixture) -> None:
    ears, made = [Ear() for _ in range(100)], Deliveries()
    made.give(Event("raise"), ears[:90])
    await asyncio.sleep(0)
    made.give(Event("next"), ears)
    while made._turn is not None:
        await asyncio.sleep(0)
    assert all("next" in ear.heard for ear in ears[90:])
    assert caplog.text.count("events could not be given to a link") == 90
