"""A link, from before its accept to after its end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.records import ConnectionRecord
from proxy.engine.links.link import Link
from proxy.engine.links.wheel import NOT_DUE
from proxy.tests.counting import counted


class NotingStream:
    """A stream that remembers what it was told."""

    buffered_bytes, gathers = 0, False

    def __init__(self) -> None:
        self.told: list[object] = []
        self.ended = asyncio.Event()
        self.buffered_bytes = 0

    def inject(self, *events: Event) -> None:
        self.told += [event.text for event in events]

    def end(self, close: Close, by: ClosedBy) -> bool:
        self.told.append((close, by))
        self.ended.set()
        return self.told.count((close, by)) == 1

    def abort(self) -> None:
        self.told.append("abort")


def _link() -> Link:
    return Link(ConnectionRecord(id="c", route="r", opened_at=datetime.now(UTC)), topics=("user:1",))


def test_what_arrives_before_the_accept_comes_first_and_in_order() -> None:
    link, stream = _link(), NotingStream()
    link.inject(Event("early"))
    link.end(closes.KICKED, ClosedBy.STAFF)
    link.begin(stream)
    link.inject(Event("late"))
    assert stream.told == ["early", (closes.KICKED, ClosedBy.STAFF), "late"]


def test_what_a_link_has_missed_comes_first_and_is_counted_as_its_historys() -> None:
    link, stream = _link(), NotingStream()
    before = counted(metrics.EVENTS_TOTAL, "history", "delivered")
    link.inject(Event("early"))
    link.catch_up([Event("one", "history"), Event("two", "history")], until=None)
    link.begin(stream)
    assert stream.told == ["one", "two", "early"]
    assert counted(metrics.EVENTS_TOTAL, "history", "delivered") - before == 2


def test_a_link_says_whether_it_was_this_call_that_ends_it() -> None:
    early, late = _link(), _link()
    early.inject(Event("early"))
    assert [early.end(closes.KICKED, ClosedBy.STAFF) for _ in range(2)] == [True, False]
    late.begin(NotingStream())
    assert [late.end(closes.KICKED, ClosedBy.STAFF) for _ in range(2)] == [True, False]
    for link in (_link(), late):
        link.ended()
        assert not link.end(closes.KICKED, ClosedBy.STAFF)


def test_a_link_that_is_cut_is_told_why_first() -> None:
    link, stream = _link(), NotingStream()
    link.begin(stream)
    link.abort()
    assert stream.told == [(closes.GOING_AWAY, ClosedBy.GATEWAY), "abort"]


def test_nothing_reaches_a_link_that_has_ended() -> None:
    link, stream = _link(), NotingStream()
    link.begin(stream)
    link.ended()
    link.abort()
    link.inject(Event("late"))
    link.end(closes.KICKED, ClosedBy.STAFF)
    assert stream.told == []


def test_a_link_that_ended_before_it_began_stays_ended() -> None:
    link, stream = _link(), NotingStream()
    link.inject(Event("early"))
    link.ended()
    link.begin(stream)
    link.inject(Event("late"))
    assert (stream.told, link.stream) == ([], None)


async def test_a_link_ends_when_its_token_does_and_a_later_token_takes_the_earlier_ones_place() -> None:
    link, stream = _link(), NotingStream()
    link.begin(stream)
    link.expire_in(0)
    link.expire_in(3600)
    await asyncio.sleep(0)
    assert not stream.told
    link.expire_in(-5)
    async with asyncio.timeout(30):
        await stream.ended.wait()
    assert stream.told == [(closes.TOKEN_EXPIRED, ClosedBy.GATEWAY)]
    link.expire_in(3600)
    link.ended()
    assert link.slot == NOT_DUE


def test_the_record_gets_the_counters_and_when_something_last_crossed() -> None:
    link, now = _link(), datetime.now(UTC)
    link.update_record(now=now, loop_time=100.0)
    assert link.record.last_activity_at is None
    link.counters.messages_in, link.counters.bytes_in = 1, 2
    link.counters.messages_out, link.counters.bytes_out = 3, 4
    link.counters.last_activity = 90.0
    link.update_record(now=now, loop_time=100.0)
    record = link.record
    assert (record.messages_in, record.bytes_in, record.messages_out, record.bytes_out) == (1, 2, 3, 4)
    assert record.last_activity_at == now - timedelta(seconds=10)


def test_a_phrase_that_raises_ends_its_own_link_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def phrase(_: str) -> str:
        raise RuntimeError("a product's mistake")

    record = ConnectionRecord(id="c", route="r", opened_at=datetime.now(UTC))
    link, stream = Link(record, topics=("user:1",), phrase=phrase), NotingStream()
    link.begin(stream)
    link.inject(Event("{}"))
    assert stream.told == [(closes.INTERNAL_ERROR, ClosedBy.GATEWAY)]
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["phrase"]
