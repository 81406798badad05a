from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.closes import NORMAL, ClosedBy
from proxy.core.pending import PendingRecords
from proxy.core.records import ConnectionRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def record(connection_id: str, *, closed: bool = False, messages_in: int = 0) -> ConnectionRecord:
    snapshot = ConnectionRecord(id=connection_id, route="game", opened_at=NOON, messages_in=messages_in)
    if closed:
        snapshot.end(NORMAL, by=ClosedBy.CLIENT, at=NOON)
    return snapshot


def test_a_link_noted_twice_is_written_once_with_the_newest_snapshot() -> None:
    pending = PendingRecords(most=10)
    pending.note(record("a"))
    pending.note(record("a", messages_in=7))

    assert [(r.id, r.messages_in) for r in pending.take(10)] == [("a", 7)]


def test_a_snapshot_does_not_change_with_the_live_record() -> None:
    pending = PendingRecords(most=10)
    live = record("a")
    pending.note(live)
    live.messages_in = 99

    assert pending.take(1)[0].messages_in == 0


def test_a_late_live_snapshot_does_not_reopen_a_closed_link() -> None:
    pending = PendingRecords(most=10)
    pending.note(record("a", closed=True))
    pending.note(record("a"))

    assert [r.closed_at for r in pending.take(10)] == [NOON]
    pending.note(record("a"))
    pending.put_back()
    assert [r.closed_at for r in pending.take(10)] == [NOON]


def test_a_batch_that_failed_does_not_replace_what_was_noted_meanwhile() -> None:
    pending = PendingRecords(most=10)
    pending.note(record("a"))
    pending.note(record("b"))
    pending.take(10)
    pending.note(record("a", messages_in=5))
    pending.put_back()

    assert [(r.id, r.messages_in) for r in pending.take(10)] == [("b", 0), ("a", 5)]


def test_when_full_live_snapshots_go_first_then_the_oldest_closed_ones() -> None:
    pending = PendingRecords(most=2)
    assert pending.note(record("live")) is None
    assert pending.note(record("closed 1", closed=True)) is None
    assert pending.note(record("closed 2", closed=True)) == "live"
    assert pending.note(record("another live")) == "another live"
    assert pending.note(record("closed 3", closed=True)) is None

    assert [r.id for r in pending.take(10)] == ["closed 2", "closed 3"]
    assert pending.dropped == 3


def test_a_close_that_was_not_written_is_still_kept_longer_than_what_lives() -> None:
    pending = PendingRecords(most=2)
    pending.note(record("gone", closed=True))
    pending.take(10)
    pending.put_back()
    assert pending.note(record("a")) is None
    assert pending.note(record("b")) == "a"
    assert [r.id for r in pending.take(10)] == ["gone", "b"]


def test_a_batch_is_as_large_as_it_may_be_and_closed_links_come_first() -> None:
    pending = PendingRecords(most=10)
    for name in ("a", "b", "c"):
        pending.note(record(name))
    pending.note(record("gone", closed=True))
    assert [r.id for r in pending.take(2)] == ["gone", "a"]


def test_two_batches_are_never_written_at_once() -> None:
    pending = PendingRecords(most=2)
    pending.note(record("a"))
    pending.take(1)

    with pytest.raises(RuntimeError, match="being written"):
        pending.take(1)


class AgainstADatabase(RuleBasedStateMachine):
    """Whatever the order of notes, writes and failures, the database ends with the newest of each link."""

    MOST = 5

    def __init__(self) -> None:
        super().__init__()
        self.pending = PendingRecords(most=self.MOST)
        self.database: dict[str, ConnectionRecord] = {}
        self.newest: dict[str, ConnectionRecord] = {}
        self.batch: list[ConnectionRecord] = []
        self.clock = 0

    @rule(connection_id=st.sampled_from("abcdefgh"), closed=st.booleans())
    def note(self, connection_id: str, closed: bool) -> None:
        if connection_id in self.newest and self.newest[connection_id].closed_at:
            return
        self.clock += 1
        snapshot = record(connection_id, closed=closed, messages_in=self.clock)
        self.newest[connection_id] = snapshot
        self.pending.note(snapshot)

    @precondition(lambda self: not self.batch)
    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        self.batch = self.pending.take(most)

    @precondition(lambda self: self.batch)
    @rule(works=st.booleans(), took_effect=st.booleans())
    def finish(self, works: bool, took_effect: bool) -> None:
        if works or took_effect:
            for row in self.batch:
                assert row.messages_in >= getattr(self.database.get(row.id), "messages_in", 0)
                self.database[row.id] = row
        (self.pending.written if works else self.pending.put_back)()
        self.batch = []

    @invariant()
    def is_bounded(self) -> None:
        assert self.pending.count <= self.MOST

    def teardown(self) -> None:
        self.pending.put_back()
        for row in self.pending.take(100):
            self.database[row.id] = row
        if not self.pending.dropped:
            assert self.database == self.newest


AgainstADatabase.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestAgainstADatabase = AgainstADatabase.TestCase
