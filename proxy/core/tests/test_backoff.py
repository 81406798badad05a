"""Waits before trying again."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.backoff import delays, jittered


def test_waits_double_up_to_the_longest_and_go_on() -> None:
    assert list(islice(delays(0.5, longest_seconds=4), 6)) == [0.5, 1, 2, 4, 4, 4]


def test_a_first_wait_longer_than_the_longest_is_cut() -> None:
    assert list(islice(delays(9, longest_seconds=4), 2)) == [4, 4]


@given(
    first=st.floats(0.001, 100),
    longest=st.floats(0.001, 100),
    turns=st.integers(2, 50),
)
def test_waits_never_shrink_and_never_pass_the_longest(first: float, longest: float, turns: int) -> None:
    waits = list(islice(delays(first, longest_seconds=longest), turns))
    assert waits == sorted(waits)
    assert max(waits) <= longest


@given(delay=st.floats(0.001, 1000), fraction=st.floats(0, 1), random=st.floats(0, 1, exclude_max=True))
def test_jitter_moves_a_wait_by_no_more_than_its_fraction(
    delay: float, fraction: float, random: float
) -> None:
    moved = jittered(delay, fraction=fraction, random=random)
    assert abs(moved - delay) <= delay * fraction + 1e-9
    assert jittered(delay, fraction=fraction, random=0.5) == delay  # the middle
