"""The outbox of a link: bounded, in order, and what it does when full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.routes import Overflow
from proxy.engine.links.outbox import Outbox, OutboxFull

MAX_BYTES = 100
SIZES = st.lists(st.integers(1, 2 * MAX_BYTES), max_size=30)


def drained(outbox: Outbox[int]) -> list[int]:
    taken: list[int] = []
    while not outbox.is_empty:
        taken.append(outbox.take())
    assert outbox.buffered_bytes == 0
    return taken


@given(SIZES)
def test_dropping_keeps_the_newest_that_fit_in_order_and_never_passes_the_bound(sizes: list[int]) -> None:
    outbox = Outbox[int](max_bytes=MAX_BYTES, overflow=Overflow.DROP_OLDEST)
    expected, dropped = list[int](), 0
    for item, size in enumerate(sizes):
        dropped += outbox.put(item, size)
        if size <= MAX_BYTES:
            expected.append(item)
        while sum(sizes[kept] for kept in expected) > MAX_BYTES:
            expected.pop(0)
        assert outbox.buffered_bytes == sum(sizes[kept] for kept in expected)
    assert drained(outbox) == expected
    assert dropped == len(sizes) - len(expected)


@given(SIZES)
def test_closing_takes_what_fits_and_raises_at_the_first_that_does_not(sizes: list[int]) -> None:
    outbox, buffered_bytes = Outbox[int](max_bytes=MAX_BYTES, overflow=Overflow.CLOSE), 0
    for item, size in enumerate(sizes):
        if buffered_bytes + size > MAX_BYTES:
            with pytest.raises(OutboxFull):
                outbox.put(item, size)
            assert drained(outbox) == list(range(item))
            return
        assert outbox.put(item, size) == 0
        buffered_bytes += size
        assert outbox.buffered_bytes == buffered_bytes


def test_what_can_never_fit_does_not_cost_the_others() -> None:
    outbox = Outbox[str](max_bytes=4, overflow=Overflow.DROP_OLDEST)
    assert outbox.put("abc", 3) == 0
    assert outbox.put("too long", 8) == 1
    assert outbox.take() == "abc"
    assert outbox.is_empty


@given(SIZES, st.integers(0, 5 * MAX_BYTES))
def test_a_batch_ends_with_the_item_that_fills_it(sizes: list[int], batch_bytes: int) -> None:
    outbox, batches = Outbox[int](max_bytes=sum(sizes), overflow=Overflow.CLOSE), list[list[int]]()
    for item, size in enumerate(sizes):
        outbox.put(item, size)
    while not outbox.is_empty:
        batches.append(outbox.take_batch(batch_bytes))
    assert [item for batch in batches for item in batch] == list(range(len(sizes)))
    for batch in batches:
        assert sum(sizes[item] for item in batch[:-1]) < max(batch_bytes, 1)
    for batch in batches[:-1]:
        assert sum(sizes[item] for item in batch) >= batch_bytes
