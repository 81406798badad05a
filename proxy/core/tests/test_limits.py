"""Limits: bounds that cannot be switched off, and rates as operators write them."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.limits import UNLIMITED, LinkLimits, MessageLimits, Rate


@pytest.mark.parametrize("name", [field.name for field in fields(LinkLimits)])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_no_bound_on_a_link_can_be_switched_off(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        LinkLimits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "rate", "per_second"),
    [
        ("20/s", Rate(20, 1), 20),
        ("100/m", Rate(100, 60), 100 / 60),
        (" 5/h ", Rate(5, 3600), 5 / 3600),
        ("0.5/s", Rate(0.5, 1), 0.5),
    ],
)
def test_a_rate_is_a_number_a_unit_of_time(text: str, rate: Rate, per_second: float) -> None:
    assert Rate.parse(text) == rate
    assert rate.per_second == per_second


@given(
    count=st.floats(1e-6, 1e12, allow_subnormal=False) | st.integers(1, 10**12).map(float),
    seconds=st.sampled_from([1.0, 60.0, 3600.0]),
)
def test_a_rate_is_written_as_it_is_read(count: float, seconds: float) -> None:
    assert Rate.parse(str(Rate(count, seconds))) == Rate(count, seconds)


@pytest.mark.parametrize(
    ("rate", "text"), [(Rate(20.0, 1), "20/s"), (Rate(0.5, 60), "0.5/m"), (Rate(1, 10), "1/10s")]
)
def test_a_rate_is_written_briefly(rate: Rate, text: str) -> None:
    assert str(rate) == text


@pytest.mark.parametrize(
    "text", ["", "20", "20/", "/s", "0/s", "-1/s", "20/d", "20 /s", "1e3/s", "nan/s", "9" * 400 + "/s"]
)
def test_what_is_no_positive_rate_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="such as 20/s or 100/m"):
        Rate.parse(text)


def test_messages_are_unlimited_only_when_nothing_is_set() -> None:
    assert UNLIMITED.is_unlimited
    names = ("messages_per_user", "messages_per_connection", "bytes_per_user", "bytes_per_connection")
    for name in names:
        assert not MessageLimits(**{name: Rate(1, 1)}).is_unlimited  # type: ignore[arg-type]
