"""What happens to links, as it waits to be written: bounded a link, and nothing uncounted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.link_events import (
    MOST_OF_A_LINK,
    SAME_TIME,
    LinkEventKind,
    LinkEventRecord,
    PendingLinkEvents,
    in_words,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ids = count()


def event(link: str = "a", *, second: float = 0, kind: str = "failover", times: int = 1) -> LinkEventRecord:
    return LinkEventRecord(
        id=str(next(_ids)),
        connection_id=link,
        user_id="ada",
        at=NOON + timedelta(seconds=second),
        kind=LinkEventKind(kind),
        times=times,
    )


def write(pending: PendingLinkEvents, table: dict[str, LinkEventRecord]) -> None:
    """As the database takes it: the newest of each id stands."""
    while batch := pending.take(3):
        table.update({each.id: each for each in batch})
        pending.written()


def test_what_is_dropped_within_a_minute_of_the_last_is_one_line() -> None:
    pending, table = PendingLinkEvents(), dict[str, LinkEventRecord]()
    gap = SAME_TIME.total_seconds()
    for second, times in ((0, 5), (gap, 3), (2 * gap, 1), (3 * gap + 1, 7)):
        pending.note(event(second=second, kind="rate_limited", times=times))
        write(pending, table)
    assert [each.times for each in table.values()] == [9, 7]


def test_a_failover_ends_what_was_counted_together() -> None:
    pending, table = PendingLinkEvents(), dict[str, LinkEventRecord]()
    for kind in ("rate_limited", "failover", "rate_limited"):
        pending.note(event(kind=kind))
    write(pending, table)
    assert [each.kind for each in table.values()] == ["rate_limited", "failover", "rate_limited"]


@given(st.lists(st.sampled_from("ab"), max_size=80), st.integers(1, 5))
def test_a_link_has_so_many_lines_and_the_last_counts_the_others(links: list[str], each_flush: int) -> None:
    pending, table = PendingLinkEvents(), dict[str, LinkEventRecord]()
    for place, link in enumerate(links):
        pending.note(event(link, second=place))
        if place % each_flush == 0:
            write(pending, table)
    write(pending, table)
    for link in "ab":
        lines = [each for each in table.values() if each.connection_id == link]
        assert len(lines) == min(links.count(link), MOST_OF_A_LINK)
        assert sum(each.times for each in lines) == links.count(link)
        assert all(each.kind is not LinkEventKind.MORE for each in lines[: MOST_OF_A_LINK - 1])


def test_a_batch_that_failed_is_written_as_it_has_become_since() -> None:
    pending, table = PendingLinkEvents(), dict[str, LinkEventRecord]()
    pending.note(event(kind="rate_limited", times=2))
    (taken,) = pending.take(10)
    pending.note(event(kind="rate_limited", times=3))
    assert (taken.times, pending.count, pending.waiting) == (2, 2, 1)
    pending.put_back()
    write(pending, table)
    assert [each.times for each in table.values()] == [5]


def test_what_a_failed_batch_held_comes_first_again() -> None:
    pending = PendingLinkEvents()
    for link in "abc":
        pending.note(event(link))
    pending.take(2)
    pending.put_back()
    assert [each.connection_id for each in pending.take(5)] == ["a", "b", "c"]


def test_a_link_that_has_ended_is_forgotten() -> None:
    pending, table = PendingLinkEvents(), dict[str, LinkEventRecord]()
    pending.note(event(kind="rate_limited"))
    pending.ended("a")
    pending.note(event(kind="rate_limited"))
    write(pending, table)
    assert len(table) == 2
    assert pending.count == 0


def test_while_nothing_can_be_written_the_oldest_are_given_up_and_counted() -> None:
    pending = PendingLinkEvents(most=2)
    for link in "abc":
        pending.note(event(link))
    assert pending.dropped == 1
    assert [each.connection_id for each in pending.take(5)] == ["b", "c"]


def test_lines_are_said_in_words_one_of_a_later_release_too() -> None:
    assert in_words("rate_limited", "", 1212) == ("Over its message rate", "1,212 messages dropped")
    assert in_words("rate_limited", "", 1)[1] == "1 message dropped"
    assert in_words("failover", "from a to b", 1) == ("Carried over to another member", "from a to b")
    assert in_words("more", "", 3)[1] == "3 further events, only counted"
    assert in_words("moon_phase", "full", 1) == ("moon phase", "full")
