"""What happened to a link while it lived, beyond its traffic: a few lines each, bounded, the rest counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from proxy.core.coalescing import Coalescing

# Lines a link; the last of them counts all that come after.
MOST_OF_A_LINK = 20
# What is dropped within so long of the last is of one time over the rate.
SAME_TIME = timedelta(minutes=1)


class LinkEventKind(StrEnum):
    FAILOVER = "failover"
    RATE_LIMITED = "rate_limited"
    MORE = "more"


@dataclass(slots=True, kw_only=True)
class LinkEventRecord:
    """One line of a link. `times`: of RATE_LIMITED the messages dropped, of MORE the further events."""

    id: str
    connection_id: str
    user_id: str
    at: datetime
    kind: LinkEventKind
    words: str = ""
    times: int = 1


@dataclass(slots=True)
class _Lines:
    """Of one live link: how many, the newest, and when that was last added to."""

    last: LinkEventRecord
    last_at: datetime
    count: int = 1


class PendingLinkEvents(Coalescing[LinkEventRecord]):
    """Those that wait to be written. Links without any cost nothing; of others it keeps their last line.

    When `most` wait, the oldest are given up; `dropped` says how many. Every operation is O(1) an event.
    """

    def __init__(self, *, most: int = 5_000) -> None:
        super().__init__(most=most)
        self._lines: dict[str, _Lines] = {}
        self.dropped = 0

    def note(self, event: LinkEventRecord) -> None:
        """Keep `event` as a line of its own, or count it where it belongs to the last one."""
        lines = self._lines.get(event.connection_id)
        if lines is None:
            self._lines[event.connection_id] = _Lines(event, event.at)
            return self._wait(event)
        if lines.last.kind is LinkEventKind.MORE:
            lines.last.times += 1
        elif _is_same_time(lines, event):
            lines.last.times += event.times
        else:
            lines.count += 1
            is_last = lines.count == MOST_OF_A_LINK
            lines.last = replace(event, kind=LinkEventKind.MORE, words="", times=1) if is_last else event
        lines.last_at = event.at
        return self._wait(lines.last)

    def ended(self, connection_id: str) -> None:
        """The link has ended: nothing more happens to it."""
        self._lines.pop(connection_id, None)

    def _gave_up(self, event: LinkEventRecord) -> None:
        self.dropped += 1


def _is_same_time(lines: _Lines, event: LinkEventRecord) -> bool:
    of_a_kind = lines.last.kind is event.kind is LinkEventKind.RATE_LIMITED
    return of_a_kind and event.at - lines.last_at <= SAME_TIME


def in_words(kind: str, words: str, times: int) -> tuple[str, str]:
    """What a line says, and details; a kind that this release does not know stands for itself."""
    if kind == LinkEventKind.FAILOVER:
        return "Carried over to another member", words
    if kind == LinkEventKind.RATE_LIMITED:
        return "Over its message rate", f"{times:,} {'message' if times == 1 else 'messages'} dropped"
    if kind == LinkEventKind.MORE:
        return "More of the kind", f"{times:,} further {'event' if times == 1 else 'events'}, only counted"
    return kind.replace("_", " "), words
