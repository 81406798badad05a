"""The outbox of a link: bounded, in order, and what it does when full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import metrics
from proxy.core.events import Event
from proxy.core.routes import Overflow
from proxy.engine.links.outbox import Outbox, OutboxFull
from proxy.tests.counting import counted

MAX_BYTES = 100
SIZES = st.lists(st.integers(1, 2 * MAX_BYTES), max_size=30)


def numbered(number: int) -> Event:
    return Event(str(number))


def drained(outbox: Outbox[Event]) -> list[int]:
    taken: list[int] = []
    while not outbox.is_empty:
        taken.append(int(outbox.take().text))
    assert outbox.buffered_bytes == 0
    return taken


def dropped_of(source: str) -> float:
    return counted(metrics.EVENTS_TOTAL, source, "dropped")


@given(SIZES)
def test_dropping_keeps_the_newest_that_fit_in_order_and_never_passes_the_bound(sizes: list[int]) -> None:
    outbox: Outbox[Event] = Outbox(max_bytes=MAX_BYTES, overflow=Overflow.DROP_OLDEST)
    expected, before = list[int](), dropped_of("layer")
    for item, size in enumerate(sizes):
        outbox.put(numbered(item), size)
        if size <= MAX_BYTES or not expected:
            expected.append(item)
        while sum(sizes[kept] for kept in expected[1:]) > MAX_BYTES:
            expected.pop(0)
        assert outbox.buffered_bytes == sum(sizes[kept] for kept in expected)
    assert drained(outbox) == expected
    assert dropped_of("layer") - before == len(sizes) - len(expected)


def test_what_is_dropped_is_counted_by_where_it_came_from_and_not_by_what_it_is_dropped_for() -> None:
    outbox: Outbox[Event] = Outbox(max_bytes=MAX_BYTES, overflow=Overflow.DROP_OLDEST)
    sources = ("layer", "local", "answer")
    before = [dropped_of(source) for source in sources]
    for event in (Event("a", "local"), Event("b"), Event("c", "answer"), Event("d", "local"), Event("f")):
        outbox.put(event, MAX_BYTES)
    outbox.put(Event("e", "local"), MAX_BYTES + 1)
    assert [dropped_of(source) - then for source, then in zip(sources, before, strict=True)] == [1, 2, 1]
    assert outbox.take().text == "d"


@given(SIZES)
def test_closing_takes_what_fits_and_raises_at_the_first_that_does_not(sizes: list[int]) -> None:
    outbox: Outbox[Event] = Outbox(max_bytes=MAX_BYTES, overflow=Overflow.CLOSE)
    buffered_bytes = 0
    for item, size in enumerate(sizes):
        if item and buffered_bytes - sizes[0] + size > MAX_BYTES:
            with pytest.raises(OutboxFull):
                outbox.put(numbered(item), size)
            assert drained(outbox) == list(range(item))
            return
        outbox.put(numbered(item), size)
        buffered_bytes += size
        assert outbox.buffered_bytes == buffered_bytes


def test_what_can_never_fit_does_not_cost_the_others() -> None:
    outbox: Outbox[Event] = Outbox(max_bytes=4, overflow=Overflow.DROP_OLDEST)
    outbox.put(Event("abc"), 3)
    outbox.put(Event("too long"), 8)
    assert outbox.take().text == "abc"
    assert outbox.is_empty


@given(SIZES, st.integers(0, 5 * MAX_BYTES))
def test_a_batch_ends_with_the_item_that_fills_it(sizes: list[int], batch_bytes: int) -> None:
    outbox: Outbox[Event] = Outbox(max_bytes=sum(sizes), overflow=Overflow.CLOSE)
    batches: list[list[int]] = []
    for item, size in enumerate(sizes):
        outbox.put(numbered(item), size)
    while not outbox.is_empty:
        batches.append([int(event.text) for event in outbox.take_batch(batch_bytes)])
    assert [item for batch in batches for item in batch] == list(range(len(sizes)))
    for batch in batches:
        assert sum(sizes[item] for item in batch[:-1]) < max(batch_bytes, 1)
    for batch in batches[:-1]:
        assert sum(sizes[item] for item in batch) >= batch_bytes
