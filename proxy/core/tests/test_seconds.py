"""A second is what all nodes told of it, whoever was first, late, lost or wrong about the time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.samples import Sample
from proxy.core.seconds import (
    LATE_SECONDS,
    STANDS_SECONDS,
    NodeSample,
    Second,
    Seconds,
    added_up,
    lately,
)


def tells(node: str, at: int, *, opens: int = 0, links: int = 0) -> NodeSample:
    sample = Sample(at=at, opens={"game": opens}, links={"game": links})
    return NodeSample(node_id=node, name=f"host:{node}", state="running", sample=sample)


def due(seconds: Seconds, now: float) -> list[tuple[int, int]]:
    """When, and how many nodes told."""
    return [(second.at, len(second.nodes)) for second in seconds.due(now)]


def test_a_second_is_due_as_soon_as_all_who_told_of_the_last_ones_have() -> None:
    seconds = Seconds()
    for at in (10, 11, 12):
        seconds.take(tells("1", at), now=at)
        if at == 10:
            seconds.take(tells("2", at), now=at)
            assert due(seconds, at) == [(10, 2)]
    assert due(seconds, 12) == []  # of 11 and 12 the second has not told yet
    seconds.take(tells("2", 12), now=12.5)
    assert due(seconds, 12.5) == [(11, 1), (12, 2)]
    assert seconds.wait_seconds(12.5) is None


def test_who_is_late_counts_for_two_seconds_and_is_then_left_out() -> None:
    seconds = Seconds()
    for node in "12":
        seconds.take(tells(node, 10), now=0)
    assert due(seconds, 0) == [(10, 2)]
    seconds.take(tells("1", 11), now=1)
    assert (due(seconds, 2.9), seconds.wait_seconds(2.5)) == ([], 0.5)
    assert due(seconds, 1 + LATE_SECONDS) == [(11, 1)]
    seconds.take(tells("2", 11), now=3.1)
    assert due(seconds, 99) == []


def test_nobody_waits_for_a_node_that_has_gone_for_longer_than_three_seconds() -> None:
    seconds = Seconds()
    seconds.take(tells("lost", 10), now=0)
    told = []
    for at in range(10, 20):
        seconds.take(tells("1", at), now=0)  # at once, as what was missed comes
        told += due(seconds, 0)
    assert told == [(10, 2), *((at, 1) for at in range(11, 20))]


def test_links_of_a_node_that_is_late_are_not_lost_and_those_of_one_that_is_gone_are() -> None:
    seconds = Seconds()
    seconds.take(tells("1", 10, opens=3, links=3), now=0)
    links = []
    for at in range(10, 20):
        seconds.take(tells("2", at, links=4), now=0)
        if at == 12:
            seconds.take(tells("1", at, links=2), now=0)
        links += [second.total.links["game"] for second in seconds.due(0)]
    assert links == [7, 6, 6, *[6] * STANDS_SECONDS, 4, 4]


def test_a_node_whose_clock_is_wrong_tells_of_the_second_in_which_it_is_heard() -> None:
    told = tells("1", 1000)
    assert told.of_second(1001.02).sample.at == 1000
    assert told.of_second(1001.9).sample.at == 1000  # it is a little late
    assert told.of_second(5000.3).sample.at == 4999
    assert told.of_second(500.3).sample.at == 499


def test_a_node_that_was_busy_for_seconds_tells_of_the_last_of_them() -> None:
    busy = NodeSample(node_id="1", name="", state="", sample=Sample(at=10, seconds=4, bytes_in=8))
    assert busy.of_second(14.01).sample == Sample(at=13, seconds=1, bytes_in=8)


def test_a_node_that_told_twice_of_a_second_did_both_and_has_the_later_links() -> None:
    second = added_up(
        [tells("1", 10, opens=2, links=5), tells("2", 10, links=1), tells("1", 10, opens=1, links=7)]
    )
    assert (second.total.opens, len(second.nodes)) == ({"game": 3}, 2)
    assert second.told()["nodes"][0] == {
        "id": "1",
        "name": "host:1",
        "state": "running",
        "seconds": 1,
        "links": 7,
        "messages": 0,
        "loop_lag_seconds": 0.0,
        "resident_bytes": 0,
    }


Tellings = list[tuple[float, NodeSample]]


@st.composite
def tellings(draw: Any, *, most_late_seconds: float, may_lose: bool) -> Tellings:
    """What up to three nodes tell of twenty seconds, each in order, and when."""
    told = []
    late = st.floats(0, most_late_seconds)
    for node in "123"[: draw(st.integers(1, 3))]:
        now = 0.0
        for at in range(100, 120):
            now = max(now, at + 1 + draw(late))
            if not (may_lose and draw(st.integers(0, 4)) == 0):
                told.append((now, tells(node, at, opens=draw(st.integers(1, 9)))))
    return sorted(told, key=lambda each: each[0])


def given_out(told: Tellings) -> dict[int, Second]:
    """What comes of it. Each second comes once, the earlier first."""
    seconds, given = Seconds(), list[Second]()
    for now, sample in told:
        seconds.take(sample, now=now)
        given += seconds.due(now)
    given += seconds.due(999)
    assert seconds.wait_seconds(999) is None
    ats = [second.at for second in given]
    assert ats == sorted(set(ats))
    return {second.at: second for second in given}


@given(tellings(most_late_seconds=4, may_lose=True))
def test_seconds_come_once_each_in_order_and_count_nothing_twice(told: Tellings) -> None:
    for at, second in given_out(told).items():
        of_it = [sample.sample.opens["game"] for _, sample in told if sample.sample.at == at]
        assert 0 < second.total.opens["game"] <= sum(of_it)


@given(tellings(most_late_seconds=1.9, may_lose=False))
def test_all_that_comes_in_time_counts(told: Tellings) -> None:
    seconds = given_out(told)
    for at in range(102, 120):  # by then all have been heard
        of_it = [sample.sample.opens["game"] for _, sample in told if sample.sample.at == at]
        assert seconds[at].total.opens["game"] == sum(of_it)


def test_what_was_counted_every_five_seconds_is_the_mean_of_the_last_ten() -> None:
    def tells_messages(node: str, at: int, messages: int) -> NodeSample:
        sample = Sample(at=at, messages_in=messages, links={"game": at}, loop_lag_seconds=at / 1000)
        return NodeSample(node_id=node, name=f"host:{node}", state="running", sample=sample)

    seconds = [
        added_up(
            [tells_messages("1", at, 50 if at % 5 == 0 else 0), *([tells_messages("2", at, 6)] * (at > 117))]
        )
        for at in range(100, 120)
    ]
    found = lately(seconds)
    assert (found.at, found.total.seconds, found.total.messages_in) == (110, 10, 112)
    assert (found.total.links, found.total.loop_lag_seconds) == ({"game": 238}, 0.119)
    assert [(node.sample.seconds, node.sample.messages_in) for node in found.nodes] == [(10, 100), (2, 12)]
    assert lately(seconds[:5] + seconds[-3:]).total.seconds == 3
