"""What nodes did, added up: in whatever order and grouping, to the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.samples import TIME_BOUNDS, Sample, of_nodes, of_time, taken_seconds

counts = st.dictionaries(st.sampled_from(["studio", "chat", "kicked"]), st.integers(1, 10**9), max_size=3)
naturals = st.integers(0, 2**53)


@st.composite
def samples(draw: Any, at: st.SearchStrategy[int] = st.integers(0, 10**10)) -> Sample:  # noqa: B008
    return Sample(
        at=draw(at),
        links=draw(counts),
        opens=draw(counts),
        closes=draw(counts),
        refusals=draw(counts),
        messages_in=draw(naturals),
        messages_out=draw(naturals),
        bytes_in=draw(naturals),
        bytes_out=draw(naturals),
        dials=tuple(draw(st.lists(st.integers(0, 9), min_size=14, max_size=14))),
        loop_lag_seconds=draw(st.floats(0, 100)),
        resident_bytes=draw(naturals),
    )


@given(samples())
def test_a_sample_is_read_as_it_was_written(sample: Sample) -> None:
    assert Sample.decoded(sample.encoded()) == sample


def test_an_idle_second_is_a_short_line_and_a_word_of_a_later_release_is_left_out() -> None:
    assert Sample(at=7).encoded() == "[7, 1, {}]"
    assert Sample.decoded('[7, 1, {"links": {"game": 2}, "eclipses": 3}]') == Sample(at=7, links={"game": 2})


@pytest.mark.parametrize("text", ["", "{}", "7", "[7, 1]", "[7, 1, 2]", '["noon", 1, {}]', "[null, 1, {}]"])
def test_what_is_no_sample_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Sample.decoded(text)


@given(st.lists(samples(at=st.just(60)), min_size=1, max_size=6), st.randoms())
def test_nodes_add_up_in_any_order_and_grouping(nodes: list[Sample], random: Any) -> None:
    whole = of_nodes(nodes)
    random.shuffle(nodes)
    cut = random.randrange(len(nodes))
    parts = [of_nodes(part) for part in (nodes[:cut], nodes[cut:]) if part]
    assert of_nodes(parts) == whole
    assert whole.messages_in == sum(node.messages_in for node in nodes)


def test_seconds_add_up_to_a_minute_that_ends_with_the_links_of_its_last() -> None:
    seconds = [
        Sample(at=60 + at, links={"game": at}, opens={"game": 1}, resident_bytes=at) for at in range(60)
    ]
    assert of_time(seconds[::-1]) == Sample(
        at=60, seconds=60, links={"game": 59}, opens={"game": 60}, resident_bytes=59
    )


@given(st.lists(st.integers(0, 50), min_size=14, max_size=14), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_of_dials_took_no_less(dials: list[int], one: float, other: float) -> None:
    less, more = sorted((one, other))
    if not any(dials):
        assert taken_seconds(dials, one) is None
        return
    first, second = taken_seconds(dials, less), taken_seconds(dials, more)
    assert first is not None
    assert second is not None
    assert 0 <= first <= second <= TIME_BOUNDS[-1]


def test_a_share_is_read_between_the_bounds() -> None:
    dials = [0] * 14
    dials[TIME_BOUNDS.index(0.1)] = 100  # from 50 to 100 ms
    assert taken_seconds(dials, 0.5) == pytest.approx(0.075)
    dials[-1] = 100
    assert taken_seconds(dials, 0.95) == TIME_BOUNDS[-1]
