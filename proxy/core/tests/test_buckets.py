from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.buckets import Bucket, Buckets
from proxy.core.limits import Rate

rates = st.builds(Rate, st.integers(1, 1000).map(float), st.sampled_from([1.0, 60.0, 3600.0]))
steps = st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 50)), max_size=100)


@given(rates, steps, st.floats(0, 1e6))
def test_in_any_span_no_more_passes_than_the_burst_and_the_rate_allow(
    rate: Rate, steps: list[tuple[float, float]], start: float
) -> None:
    bucket, now, passed = Bucket(rate), start, 0.0
    for wait, tokens in steps:
        now += wait
        if bucket.take(now, tokens=min(tokens, rate.count)) == 0:
            passed += min(tokens, rate.count)
    assert passed <= rate.count + rate.per_second * (now - start) + 0.01


@given(rates, st.floats(0, 1e6))
def test_a_full_bucket_gives_its_whole_count_at_once_and_then_no_more(rate: Rate, now: float) -> None:
    bucket = Bucket(rate)
    assert [bucket.take(now) for _ in range(int(rate.count))] == [0] * int(rate.count)
    assert bucket.take(now) > 0


@given(rates, steps)
def test_the_wait_that_it_answers_is_enough_and_not_too_long(
    rate: Rate, steps: list[tuple[float, float]]
) -> None:
    bucket, now = Bucket(rate), 0.0
    for pause, tokens in steps:
        now += pause
        wait = bucket.take(now, tokens=tokens)
        if wait > 0:
            assert bucket.wait_seconds(now + wait * 0.9 - 2e-3 / rate.per_second, tokens=tokens) > 0
            assert bucket.wait_seconds(now + wait + 1e-6, tokens=tokens) == 0


def test_more_than_a_bucket_holds_is_taken_from_a_full_one() -> None:
    bucket = Bucket(Rate(100, 1))
    assert bucket.take(0, tokens=10_000) == 0
    assert bucket.take(0.5, tokens=10_000) == pytest.approx(0.5)


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(Rate(2, 1))
    assert [buckets.take("a", 0) for _ in range(2)] == [0, 0]
    assert buckets.take("a", 0) > 0
    assert buckets.take("b", 0) == 0


def test_a_million_distinct_keys_stay_within_the_bound() -> None:
    buckets = Buckets(Rate(20, 1), most=10_000)
    for number in range(1_000_000):
        buckets.take(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64", number * 1e-6)
    assert len(buckets._full_at) <= 10_000


def test_a_bucket_costs_less_than_four_hundred_bytes() -> None:
    buckets = Buckets(Rate(20, 1), most=5_000)
    tracemalloc.start()
    for number in range(50_000):
        buckets.take(f"2001:db8:{number:x}::/64", number * 1e-6)
    size_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes < 400 * 5_000


def test_buckets_that_are_full_again_are_let_go() -> None:
    buckets = Buckets(Rate(1, 1))
    for number in range(1000):
        buckets.take(str(number), 0)
    assert len(buckets._full_at) == 1000
    for number in range(1000):
        buckets.take("steady", 10 + number * 2)
    assert len(buckets._full_at) <= 1


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 2)), max_size=200))
def test_a_map_of_buckets_decides_as_single_buckets_would(uses: list[tuple[str, float]]) -> None:
    rate, now = Rate(3, 1), 0.0
    together, apart = Buckets(rate), {key: Bucket(rate) for key in "abcdef"}
    for key, pause in uses:
        now += pause
        assert together.take(key, now) == apart[key].take(now)
