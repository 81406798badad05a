"""A person's story: what happened to one user's links, and what staff did, as one timeline. No I/O.

Its entries come from several tables. Each is read newest first, from a place on, and all are merged here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

MAX_USER_ID_CHARS = 255
_MAX_ID_CHARS = 64


class Source(IntEnum):
    """Where an entry is from; of one moment's, the greater stands above."""

    REFUSAL = 1
    OPENED = 2
    LINK_EVENT = 3
    CLOSED = 4
    NOTE = 5


class NoteKind(StrEnum):
    """What staff did to a user, or `NOTE`: what they wrote about one."""

    NOTE = "note"
    KICKED = "kicked"
    BLOCKED = "blocked"
    BLOCK_CHANGED = "block_changed"
    UNBLOCKED = "unblocked"
    REVOKED = "revoked"


NOTE_WORDS = {
    NoteKind.NOTE: "Note",
    NoteKind.KICKED: "Kicked",
    NoteKind.BLOCKED: "Blocked",
    NoteKind.BLOCK_CHANGED: "Block changed",
    NoteKind.UNBLOCKED: "Block lifted",
    NoteKind.REVOKED: "Tokens revoked",
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an entry stands in the timeline: the later, the greater. `id` is one of its source's."""

    at: datetime
    source: Source
    id: str

    def __str__(self) -> str:
        """As a URL has it; `parse` takes it."""
        return f"{self.at.astimezone(UTC).isoformat()}~{self.source.value}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError for what is none."""
        at, source, row_id = text.split("~", 2)
        if len(row_id) > _MAX_ID_CHARS or not row_id.isprintable():
            raise ValueError("no id of a row")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("a time without a time zone")
        try:
            return cls(moment.astimezone(UTC), Source(int(source)), row_id)
        except OverflowError:
            raise ValueError("no time") from None

    def bound(self, source: Source) -> Bound:
        """Which rows of `source` stand below this place."""
        return Bound(
            self.at, is_included=source <= self.source, id=self.id if source is self.source else None
        )


@dataclass(frozen=True, slots=True)
class Bound:
    """Rows until `at`; of that moment those below `id` (None: all), and none unless `is_included`."""

    at: datetime
    is_included: bool
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `words` and `details` are ours; `said` is what clients, services or staff have written.

    `row_id` is that of the page which has it in full, "" where there is none.
    """

    place: Place
    words: str
    details: str = ""
    said: str = ""
    row_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first; `older` is where the next page begins, None where there is none."""

    entries: list[Entry]
    older: Place | None


def page_of(sources: Iterable[Sequence[Entry]], *, most: int) -> Page:
    """The newest `most` of all that the sources have, of which each brings its newest `most` + 1 in order."""
    merged = heapq.merge(*sources, key=lambda entry: entry.place, reverse=True)
    entries = [entry for entry, _ in zip(merged, range(most + 1), strict=False)]
    return Page(entries[:most], entries[most - 1].place if len(entries) > most else None)
