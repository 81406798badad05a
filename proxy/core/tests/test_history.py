"""What is remembered, where a client is in it, and when it can be told all."""

from __future__ import annotations

import pytest

from proxy.core.history import SINCE_BYTES, Entry, Found, History, Outcome, Position, Remembered

SECOND = 1_000_000
NOW = 1_000 * SECOND
BRIEF = History(events=3, seconds=10)


def remembered(*numbers: int, before: int = 0, exists: bool = True) -> Remembered:
    """Entries of those numbers, the first behind `before`."""
    entries = [Entry(number, b"") for number in numbers]
    return Remembered(BRIEF, exists, before if entries else None, entries)


def outcome(since: int, *topics: Remembered, is_all: bool = True, epoch: str = "1") -> Outcome:
    return Found(Position("1", NOW), topics, is_all).outcome(Position(epoch, since))


@pytest.mark.parametrize("text", ["1-2", "1763799999000000-1763800012345678"])
def test_a_position_is_the_text_that_clients_remember(text: str) -> None:
    assert str(Position.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1", "1-2-3", "a-1", "1 -2", "1-2\n", "٣-٣", f"1-{'9' * 17}", f"{'9' * 21}-1"],
)
def test_any_other_text_is_none(text: str) -> None:
    assert Position.parse(text) is None


def test_positions_of_other_epochs_are_not_compared() -> None:
    told = Position("1", 5)
    assert [Position("1", number).is_at_or_before(told) for number in (4, 5, 6)] == [True, True, False]
    assert not Position("2", 4).is_at_or_before(told)


def test_all_is_told_where_the_first_entry_follows_what_was_heard() -> None:
    assert outcome(5, remembered(7, 9, before=5)) is Outcome.RECOVERED
    assert outcome(6, remembered(7, 9, before=5)) is Outcome.RECOVERED
    assert outcome(6, remembered(), remembered(7, before=6)) is Outcome.RECOVERED


def test_an_entry_between_is_forgotten() -> None:
    assert outcome(4, remembered(7, 9, before=5)) is Outcome.FORGOTTEN
    assert outcome(5, remembered(7, before=5), remembered(8, before=6)) is Outcome.FORGOTTEN


def test_a_topic_that_is_gone_had_nothing_for_as_long_as_it_remembers() -> None:
    gone = remembered(exists=False)
    assert outcome(NOW - 10 * SECOND, gone) is Outcome.RECOVERED
    assert outcome(NOW - 10 * SECOND - 1, gone) is Outcome.FORGOTTEN
    assert outcome(5, remembered()) is Outcome.RECOVERED  # it is there, and has nothing newer


def test_a_position_that_the_store_never_gave_is_unknown() -> None:
    assert outcome(5, epoch="2") is Outcome.UNKNOWN
    assert outcome(NOW + 1) is Outcome.UNKNOWN


def test_too_much_is_not_told_in_part() -> None:
    assert outcome(5, remembered(7, before=5), is_all=False) is Outcome.TOO_MUCH


def test_the_events_of_all_topics_are_told_in_the_order_in_which_they_were_published() -> None:
    found = Found(Position("1", NOW), (remembered(2, 5), remembered(1, 3, 4)))
    assert [entry.number for entry in found.entries()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "beyond",
    [
        {"events": 0},
        {"events": 1001},
        {"seconds": 0},
        {"seconds": 7 * 86_400 + 1},
        {"bytes": 1023},
        {"bytes": (64 << 20) + 1},
    ],
)
def test_a_history_has_bounds(beyond: dict[str, int]) -> None:
    told = "a history has 1 to 1000 events and 1 to 604800 seconds, and 1024 to 67108864 bytes; got"
    with pytest.raises(ValueError, match=told):
        History(**{"events": 1, "seconds": 1} | beyond)


def test_the_longest_position_adds_as_much_as_is_said() -> None:
    longest = f"{'9' * 20}-{'9' * 16}"
    assert str(Position.parse(longest)) == longest
    assert len(f',"since":"{longest}"') == SINCE_BYTES
