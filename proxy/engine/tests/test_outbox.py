"""The outbox of a relayed link: bounded, in order, and what it does when full."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.events import Event
from proxy.core.routes import Overflow
from proxy.engine.outbox import Outbox, OutboxFull

MAX_BYTES = 100
TEXTS = st.text(st.sampled_from("aé😀"), max_size=40)


async def _drain(outbox: Outbox) -> list[str]:
    taken: list[str] = []
    while outbox.buffered_bytes:
        taken.append((await outbox.get()).text)
    return taken


@given(st.lists(TEXTS.filter(bool), max_size=30))
def test_dropping_keeps_the_newest_that_fit_in_order_and_never_passes_the_bound(texts: list[str]) -> None:
    outbox, expected = Outbox(max_bytes=MAX_BYTES, overflow=Overflow.DROP_OLDEST), list[str]()
    for text in texts:
        outbox.put(Event("user:1", text))
        if len(text.encode()) <= MAX_BYTES:
            expected.append(text)
        while sum(len(kept.encode()) for kept in expected) > MAX_BYTES:
            expected.pop(0)
        assert outbox.buffered_bytes == sum(len(kept.encode()) for kept in expected)
    assert asyncio.run(_drain(outbox)) == expected
    assert outbox.dropped == len(texts) - len(expected)


@given(st.lists(TEXTS.filter(bool), max_size=30))
def test_closing_takes_what_fits_and_raises_at_the_first_that_does_not(texts: list[str]) -> None:
    outbox, size = Outbox(max_bytes=MAX_BYTES, overflow=Overflow.CLOSE), 0
    for text in texts:
        size += len(text.encode())
        if size > MAX_BYTES:
            with pytest.raises(OutboxFull):
                outbox.put(Event("user:1", text))
            return
        outbox.put(Event("user:1", text))
        assert outbox.buffered_bytes == size


async def test_an_event_that_can_never_fit_does_not_cost_the_others() -> None:
    outbox = Outbox(max_bytes=4, overflow=Overflow.DROP_OLDEST)
    outbox.put(Event("user:1", "abc"))
    outbox.put(Event("user:1", "too long"))
    assert await _drain(outbox) == ["abc"]
    assert outbox.dropped == 1


async def test_a_reader_that_waits_gets_the_next_event_and_may_give_up_without_loss() -> None:
    outbox = Outbox(max_bytes=MAX_BYTES, overflow=Overflow.CLOSE)
    async with asyncio.timeout(5):
        given_up = asyncio.create_task(outbox.get())
        await asyncio.sleep(0)
        given_up.cancel()
        outbox.put(Event("user:1", "first"))
        await asyncio.wait([given_up])
        assert (await outbox.get()).text == "first"
        waiting = asyncio.create_task(outbox.get())
        await asyncio.sleep(0)
        outbox.put(Event("user:1", "second"))
        outbox.put(Event("user:1", "third"))
        assert [(await waiting).text, (await outbox.get()).text] == ["second", "third"]
