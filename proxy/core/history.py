"""What topics remember of their events, where in it a client is, and whether it can be told what it missed.

Positions are one row of numbers over all topics of a store, microseconds of its clock, each greater than the
one before. So one number says of all of a client's topics what it has heard; and one that is older than a
topic remembers is known to be. The epoch changes whenever the store may have lost something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

MOST_EVENTS = 1_000
MOST_SECONDS = 7 * 86_400
LEAST_BYTES, MOST_BYTES = 1024, 64 << 20
# What a position adds to an event at most.
SINCE_BYTES = len(',"since":""') + len(f"{10**20 - 1}-{10**16 - 1}")
_TEXT = re.compile(r"(\d{1,20})-(\d{1,16})", re.ASCII)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A topic remembers the last `events` of its events, each for `seconds`, and of those as many as have
    `bytes` together; the last one, however large it is.

    Raises:
        ValueError: it is to remember nothing, or too much.
    """

    events: int
    seconds: int
    bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if not (
            1 <= self.events <= MOST_EVENTS
            and 1 <= self.seconds <= MOST_SECONDS
            and LEAST_BYTES <= self.bytes <= MOST_BYTES
        ):
            raise ValueError(
                f"a history has 1 to {MOST_EVENTS} events and 1 to {MOST_SECONDS} seconds, "
                f"and {LEAST_BYTES} to {MOST_BYTES} bytes; got {self}"
            )


class Position(NamedTuple):
    """Behind which event of a store; as a text, what clients remember."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The position that a text is; None for any other text."""
        match = _TEXT.fullmatch(text)
        return None if match is None else cls(match[1], int(match[2]))

    def is_at_or_before(self, other: Position) -> bool:
        """Whether who was told all up to `other` was told of this."""
        return self.epoch == other.epoch and self.number <= other.number


class Outcome(StrEnum):
    """Whether a client was told what it missed, or why not; a metric's label, and a reason for clients."""

    RECOVERED = "recovered"
    NEW = "new"  # it remembers nothing
    UNKNOWN = "unknown"  # what it remembers is no position, or one of another epoch
    FORGOTTEN = "forgotten"  # a topic does not remember all of it
    TOO_MUCH = "too_much"  # more than may wait for one client
    UNAVAILABLE = "unavailable"  # the store


@dataclass(frozen=True, slots=True)
class Entry:
    """A remembered event, as it was sent."""

    number: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """What one topic remembers behind some position, in order; whether it `exists` in the store at all.

    Between the number `before` and that of the first event it had none; None: it has none there.
    """

    history: History
    exists: bool
    before: int | None = None
    entries: Sequence[Entry] = ()

    def lacks(self, since: int, *, now: int) -> bool:
        """Whether something behind `since` may be forgotten."""
        if self.before is not None:
            return self.before > since
        return not self.exists and since < now - self.history.seconds * _MICROSECONDS


@dataclass(frozen=True, slots=True)
class Found:
    """What a store answers to who comes back: its position `now`, and what topics remember behind another.

    `is_all` False: it stopped, since it is too much or not all is there, and has no entries of any.
    """

    now: Position
    topics: Sequence[Remembered] = ()
    is_all: bool = True

    def outcome(self, since: Position) -> Outcome:
        """Whether that is all that was missed since then."""
        if since.epoch != self.now.epoch or since.number > self.now.number:
            return Outcome.UNKNOWN
        if any(topic.lacks(since.number, now=self.now.number) for topic in self.topics):
            return Outcome.FORGOTTEN
        return Outcome.RECOVERED if self.is_all else Outcome.TOO_MUCH

    def entries(self) -> list[Entry]:
        """The events of all topics, in their order."""
        return sorted((entry for topic in self.topics for entry in topic.entries), key=lambda e: e.number)
