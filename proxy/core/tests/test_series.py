"""A chart loses nothing of what was told, makes nothing up, and stays small."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.samples import TIME_BOUNDS, Sample
from proxy.core.series import MOST_WORDS, OTHER, SETTLED_SECONDS, SPANS, Span, series

NOW = 1_800_000_000
MINUTES = Span("minutes", 600, 60)
words = st.sampled_from([f"cause {number}" for number in range(2 * MOST_WORDS)])


@st.composite
def some_samples(draw: Any) -> list[Sample]:
    ats = draw(st.lists(st.integers(NOW - 700, NOW), max_size=30, unique=True))
    return [
        Sample(
            at=at,
            links=draw(st.dictionaries(words, st.integers(0, 9), max_size=3)),
            opens={"game": draw(st.integers(0, 9))},
            closes=draw(st.dictionaries(words, st.integers(1, 9), max_size=3)),
            bytes_in=draw(st.integers(0, 9)),
        )
        for at in ats
    ]


def lists_in(told: dict[str, Any]) -> list[list[Any]]:
    lists = [each for each in told.values() if isinstance(each, list)]
    return lists + [line for each in told.values() if isinstance(each, dict) for line in each.values()]


@pytest.mark.parametrize("span", SPANS.values(), ids=list(SPANS))
def test_every_span_fits_a_chart_and_ends_with_the_step_of_now(span: Span) -> None:
    told = series(span, [], now=NOW + 7)
    assert len(told["at"]) == span.seconds // span.step_seconds <= 360
    assert told["at"][-1] <= NOW + 7 < told["at"][-1] + span.step_seconds
    assert all(at % span.step_seconds == 0 for at in told["at"])
    assert all(value is None for line in lists_in(told) if line is not told["at"] for value in line)


@given(some_samples())
def test_all_that_was_counted_in_whole_steps_is_told_once_under_few_words(samples: list[Sample]) -> None:
    told = series(MINUTES, samples, now=NOW)
    ends = min(at for at in told["at"] if at + MINUTES.step_seconds + SETTLED_SECONDS > NOW)
    whole = [sample for sample in samples if told["at"][0] <= sample.at < ends]
    closes = [count for line in told["closes"].values() for count in line if count is not None]
    assert sum(closes) == sum(count for sample in whole for count in sample.closes.values())
    assert sum(filter(None, told["bytes_in"])) == sum(sample.bytes_in for sample in whole)
    assert sum(filter(None, told["opens"])) == sum(sample.opens["game"] for sample in whole)
    assert len(told["closes"]) <= MOST_WORDS + 1
    assert all(len(line) == len(told["at"]) for line in lists_in(told))


@given(some_samples())
def test_a_step_of_which_nobody_tells_is_a_gap_and_no_zero(samples: list[Sample]) -> None:
    told = series(MINUTES, samples, now=NOW)
    for place, at in enumerate(told["at"]):
        is_told = any(at <= sample.at < at + MINUTES.step_seconds for sample in samples)
        assert (told["loop_lag_seconds"][place] is not None) == is_told
        if not is_told:
            assert all(line[place] is None for line in lists_in(told) if line is not told["at"])


def test_links_are_those_at_the_end_of_a_step_and_the_least_words_are_one() -> None:
    causes = {f"cause {number:02}": 100 - number for number in range(MOST_WORDS + 2)}
    first = Sample(at=NOW - 120, links={"game": 5}, closes=causes)
    told = series(MINUTES, [Sample(at=NOW - 100, links={"game": 7}), first], now=NOW)
    place = told["at"].index(NOW - 120)
    assert told["links"]["game"][place] == 7
    assert told["closes"][OTHER][place] == (100 - MOST_WORDS) + (100 - MOST_WORDS - 1)
    assert next(iter(told["closes"])) == "cause 00"


def test_a_step_under_way_says_how_things_stand_and_counts_nothing() -> None:
    dials = tuple(int(bound == 0.1) for bound in (*TIME_BOUNDS, None))
    sample = Sample(at=NOW, links={"game": 3}, opens={"game": 1}, dials=dials)
    told = series(MINUTES, [sample], now=NOW + 30)
    assert (told["links"]["game"][-1], told["opens"][-1]) == (3, None)
    assert 0.05 < told["dial_p95_seconds"][-1] <= 0.1
    assert series(MINUTES, [sample], now=NOW + 59)["opens"][-1] is None
    assert series(MINUTES, [sample], now=NOW + 60 + SETTLED_SECONDS)["opens"][-2] == 1
