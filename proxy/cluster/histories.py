"""What topics remember: asked of Redis, as a dialogue that knows no client library, or kept in memory."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.cluster.questions import Command, Script, memory_of
from proxy.core.history import MOST_EVENTS, Entry, Found, History, Position, Remembered

RECOVER = Script("position.lua", "recover.lua")
# In memory; the next one begins a new epoch.
_MOST_TOPICS = 10_000
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A topic that is asked what it remembers, by its group."""

    group: str
    history: History


def recovering(
    asked: Sequence[Asked], *, since: Position | None, most_bytes: int
) -> Generator[Command, Any, Found]:
    """What they remember behind `since`; nothing for None. It yields, and is told, as `Script.run`."""
    keys = [memory_of(each.group, each.history)[0] for each in asked]
    epoch, now, is_all, *topics = yield from RECOVER.run(
        (), *(since or ("", "")), MOST_EVENTS, most_bytes, *keys
    )
    found = [
        Remembered(
            each.history, bool(exists), int(before) if before else None, [_entry(*entry) for entry in entries]
        )
        for each, (exists, before, entries) in zip(asked, topics, strict=False)
    ]
    return Found(Position(epoch.decode(), int(now)), found, bool(is_all))


def _entry(position: bytes, fields: Sequence[bytes]) -> Entry:
    """With no message, where somebody else has written it."""
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return Entry(int(position.partition(b"-")[0]), named.get(b"message", b""))


class Pongs:
    """In the place of a channel's queue: who waits for the answer to a PING of its own word."""

    def __init__(self) -> None:
        self._expected: dict[bytes, asyncio.Future[None]] = {}

    @contextmanager
    def expect(self, word: str) -> Iterator[asyncio.Future[None]]:
        """Done when that is answered."""
        answered = self._expected[word.encode()] = asyncio.get_running_loop().create_future()
        try:
            yield answered
        finally:
            del self._expected[word.encode()]

    def put_nowait(self, word: bytes) -> None:
        """What Redis answered."""
        answered = self._expected.get(word)
        if answered is not None and not answered.done():
            answered.set_result(None)


@dataclass(slots=True)
class _Topic:
    """What one remembers until `until`, in place of a stream in Redis: each with the position before it."""

    until: int
    entries: deque[tuple[int, Entry]] = field(default_factory=deque)
    bytes: int = 0

    def is_beyond(self, history: History, horizon: int) -> bool:
        """Whether its oldest entry is too old, or one too many."""
        is_old = self.entries[0][1].number < horizon
        return is_old or len(self.entries) > history.events or self.bytes > history.bytes

    def behind(self, number: int) -> list[tuple[int, Entry]]:
        return [each for each in self.entries if each[1].number > number]


class MemoryHistory:
    """The history of one process without Redis, by the rules of the scripts."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._last = 0
        self._begin_anew()

    def next_position(self) -> Position:
        """Of the event that is remembered next."""
        self._last = max(self._last + 1, self._now())
        return Position(self._epoch, self._last)

    def remember(self, position: Position, message: bytes, asked: Asked) -> None:
        """Put it into its topic's history."""
        now, kept = position.number, asked.history.seconds * _MICROSECONDS
        topic = self._topics.get(asked.group)
        if topic is None or topic.until <= now:
            self._make_room(now)
            topic = self._topics[asked.group] = _Topic(now)
        before = topic.entries[-1][1].number if topic.entries else now - kept
        topic.entries.append((before, Entry(now, message)))
        topic.until = now + kept
        topic.bytes += len(message)
        while len(topic.entries) > 1 and topic.is_beyond(asked.history, now - kept):
            topic.bytes -= len(topic.entries.popleft()[1].message)

    def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found:
        """What they remember behind `since`; nothing for None."""
        self._last = now = max(self._last, self._now() - 1)
        if since is None or since.epoch != self._epoch:
            return Found(Position(self._epoch, now))
        found = [self._remembered(each, since.number) for each in asked]
        missed = [entry for topic in found for entry in topic.entries]
        is_all = len(missed) <= MOST_EVENTS and sum(len(entry.message) for entry in missed) <= most_bytes
        is_all = is_all and not any(topic.lacks(since.number, now=now) for topic in found)
        if not is_all:
            found = [replace(topic, entries=()) for topic in found]
        return Found(Position(self._epoch, now), found, is_all)

    def _remembered(self, asked: Asked, since: int) -> Remembered:
        topic = self._topics.get(asked.group)
        if topic is None or topic.until <= self._last:
            return Remembered(asked.history, exists=False)
        behind = topic.behind(since)
        before = behind[0][0] if behind else None
        return Remembered(asked.history, True, before, [entry for _, entry in behind])

    def _make_room(self, now: int) -> None:
        """For one topic more: without those that have forgotten everything, or without any."""
        if len(self._topics) >= _MOST_TOPICS:
            self._topics = {group: topic for group, topic in self._topics.items() if topic.until > now}
        if len(self._topics) >= _MOST_TOPICS:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._topics.clear()
        self._last = max(self._last + 1, self._now())
        self._epoch = str(self._last)

    def _now(self) -> int:
        return time.time_ns() // 1000
