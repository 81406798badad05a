"""Numbered things, in any order, some of them twice and some never."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from experience.chat.ordering import MOST_EARLY, InOrder

numbers = st.integers(min_value=1, max_value=30)


@given(before=st.lists(numbers), last=st.integers(min_value=0, max_value=15), after=st.lists(numbers))
def test_each_is_handed_out_once_and_in_order(before: list[int], last: int, after: list[int]) -> None:
    order: InOrder[int] = InOrder()
    handed_out = [ready for number in before for ready in order.take(number, number)]
    assert handed_out == []
    handed_out += order.begin(last)
    handed_out += [ready for number in after for ready in order.take(number, number)]

    assert handed_out == list(range(last + 1, last + 1 + len(handed_out)))
    came = {number for number in (*before, *after) if number > last}
    lacks = set(order.lacks)
    assert came == set(handed_out) | (lacks & came)
    if lacks:
        assert min(lacks) not in came
        assert max(lacks) == max(came)


@given(gaps=st.sets(numbers), came=st.permutations(list(range(1, 31))))
def test_what_is_no_more_is_passed_over(gaps: set[int], came: list[int]) -> None:
    order: InOrder[int] = InOrder()
    handed_out = order.begin(0)
    there = [number for number in came if number not in gaps]
    for number in there:
        handed_out += order.take(number, number)
    for number in sorted(there):  # as they are read from the database
        handed_out += order.pass_over(number)
        handed_out += order.take(number, number)
    handed_out += order.pass_over(31)

    assert handed_out == sorted(there)
    assert not order.lacks
    assert order.last == 30


def test_what_comes_much_too_early_lacks_later_and_no_memory_is_spent_on_it() -> None:
    order: InOrder[int] = InOrder()
    order.begin(0)
    for number in range(2, MOST_EARLY + 100):
        assert order.take(number, number) == []

    assert order.take(1, 1) == list(range(1, MOST_EARLY + 2))
    assert order.lacks == range(MOST_EARLY + 2, MOST_EARLY + 100)


def test_what_is_heard_of_lacks_until_it_comes() -> None:
    order: InOrder[str] = InOrder()
    assert not order.lacks
    order.begin(4)
    order.hear(6)
    assert order.lacks == range(5, 7)
    assert order.take(6, "six") == []
    assert order.begin(5) == []
    assert order.take(5, "five") == ["five", "six"]
    assert not order.lacks
