from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.outgoing import MAX_BODY_BYTES, HeldKeys, Outgoing, Waiting, next_batch, subject_token

WAITING = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=60).map(
    lambda rows: [Waiting(number, key, size) for number, (key, size) in enumerate(rows)]
)


@pytest.mark.parametrize(
    "subject", ["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a.#", "a\n", "a\0", "\ud800", "a" * 513]
)
def test_what_no_broker_takes_as_a_subject_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="a subject is"):
        Outgoing(subject, {}, "k")


@pytest.mark.parametrize("key", ["", "k" * 256, "a\0", "\udfff"])
def test_what_no_database_keeps_as_a_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="a key has"):
        Outgoing("a", {}, key)


@pytest.mark.parametrize("body", [{"n": float("nan")}, {"o": object()}, {"t": "x" * MAX_BODY_BYTES}])
def test_a_body_that_is_no_json_or_too_large_is_refused(body: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="a body"):
        Outgoing("a", body, "k").text()


@given(st.text(min_size=1))
def test_any_name_is_one_token_of_a_subject_and_no_two_are_the_same(name: str) -> None:
    token = subject_token(name)
    if name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name):
        assert Outgoing(f"a.{token}", {}, "k").subject.count(".") == 1
    assert subject_token(f"{name}.") != subject_token(f"{name}%2E")


@given(WAITING, st.integers(1, 20), st.integers(1, 300), st.integers(1, 10))
def test_a_batch_skips_nothing_of_a_key_and_keeps_to_its_bounds(
    waiting: list[Waiting], most_rows: int, most_bytes: int, most_of_a_key: int
) -> None:
    ids = next_batch(waiting, most_rows=most_rows, most_bytes=most_bytes, most_of_a_key=most_of_a_key)
    chosen = [waiting[number] for number in ids]

    assert bool(chosen) == bool(waiting)
    assert len(chosen) <= most_rows
    assert len(chosen) == 1 or sum(row.size_bytes for row in chosen) <= most_bytes
    for key in "abc":
        of_key = [row.id for row in waiting if row.key == key]
        taken = [row.id for row in chosen if row.key == key]
        assert taken == of_key[: len(taken)]
        assert len(taken) <= most_of_a_key


def test_one_key_with_a_lot_to_say_leaves_room_for_others() -> None:
    waiting = [*(Waiting(number, "loud", 1) for number in range(100)), Waiting(100, "other", 1)]
    ids = next_batch(waiting, most_rows=50, most_bytes=1000, most_of_a_key=10)
    assert ids == [*range(10), 100]


def test_a_key_is_held_for_longer_each_time_until_it_is_let_go() -> None:
    held = HeldKeys(first_seconds=1, longest_seconds=4, most=2)
    ends = []
    now = 0.0
    for _ in range(4):
        held.hold("a", now=now)
        assert held.at(now) == ["a"]
        now = next(at / 2 for at in range(int(now * 2), 100) if not held.at(at / 2))
        ends.append(now)
    assert ends == [1, 3, 7, 11]
    held.let_go("a")
    held.hold("a", now=now)
    assert not held.at(now + 1)
    held.hold("b", now=now)
    held.hold("c", now=now)  # more than are remembered
    assert held.at(now) == ["b", "c"]
