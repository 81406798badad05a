"""What one process without Redis keeps in memory, by the rules of what nodes share in it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from asgiref.sync import async_to_sync

from proxy.cluster.histories import Asked, MemoryHistory
from proxy.cluster.questions import (
    ANSWER_SECONDS,
    KEPT_SECONDS,
    ONCE_SECONDS,
    Answers,
    Gathered,
    LayerAway,
    Place,
    Question,
    places,
)
from proxy.cluster.scrolls import BEGINNING, Entry, MemoryScrolls
from proxy.cluster.shipments import Shipment
from proxy.core.history import Found, History, Position
from proxy.engine.calls import wait_at_most

# Streams are kept for as long as they are in Redis, or until so many are younger.
_MOST_KEPT = 10_000
_SENT_A_TURN = 100


@dataclass(slots=True)
class _Stream:
    """The answers under one key, in place of a stream in Redis; `reached` nodes heard the question."""

    until: float
    reached: int = 0
    said: list[Mapping[int, str]] = field(default_factory=list)


class _Kept:
    """What is kept for whoever takes it first, which may be another thread.

    All are kept equally long, so that the first is the first to go.
    """

    def __init__(self) -> None:
        self._values: dict[str, tuple[float, bytes]] = {}
        self._lock = Lock()

    def put(self, key: str, value: bytes, *, until: float) -> None:
        """Raises LayerAway where too many wait: none of them is forgotten for another."""
        with self._lock:
            self._forget(time.monotonic())
            if len(self._values) >= _MOST_KEPT:
                raise LayerAway(f"{_MOST_KEPT} are kept, and no Redis is set")
            self._values[key] = until, value

    def take(self, key: str) -> bytes | None:
        with self._lock:
            self._forget(time.monotonic())
            _, value = self._values.pop(key, (0.0, None))
            return value

    def _forget(self, now: float) -> None:
        while self._values and self._values[first := next(iter(self._values))][0] <= now:
            del self._values[first]


class MemoryStore:
    """The store (proxy/cluster/store.py) of the channel layer in memory."""

    def __init__(self, layer: Any) -> None:
        """Signals go to groups of `layer`."""
        self._layer = layer
        # By how long they are kept, so that in each the first is the first to go.
        self._streams: dict[int, dict[str, _Stream]] = {KEPT_SECONDS: {}, ONCE_SECONDS: {}}
        self._asking: set[asyncio.Event] = set()
        self._history = MemoryHistory()
        self._kept, self._scrolls = _Kept(), MemoryScrolls()

    async def ask(self, questions: Sequence[Question]) -> list[Answers]:
        """Whoever has no room for a question in its queue is silent."""
        answers: list[Answers] = await self._layer.at_home(self._ask(questions))
        return answers

    async def _ask(self, questions: Sequence[Question]) -> list[Answers]:
        asked = places(questions)
        reached: list[int] = []
        for each, place in zip(questions, asked, strict=True):
            reached.append(await self._send(each, place))
            if len(reached) % _SENT_A_TURN == 0:
                await asyncio.sleep(0)
        gathered = Gathered(asked, reached, begin=0)
        news = asyncio.Event()
        self._asking.add(news)
        try:
            deadline = time.monotonic() + ANSWER_SECONDS
            while self._read(gathered) and (left := deadline - time.monotonic()) > 0:
                await wait_at_most(left, news.wait())
                news.clear()
        finally:
            self._asking.discard(news)
        return gathered.answers()

    def ask_sync(self, questions: Sequence[Question]) -> list[Answers]:
        return async_to_sync(self.ask)(questions)

    async def answer(self, said: Mapping[Place, str]) -> None:
        for place, text in said.items():
            stream = self._stream(place.key)
            if stream is not None:
                stream.said.append({place.number: text})
        for news in self._asking:
            news.set()

    async def take_turn(self, who: str) -> bool:
        """There is one process, whose turn it always is."""
        return True

    async def end_turn(self, who: str) -> None:
        """Nobody else waits for it."""

    async def ship(self, shipments: Sequence[Shipment], *, who: str) -> bool:
        for each in shipments:
            await self._layer.group_send(each.group, self._remembered(each.group, each.signal, each.history))
        return True

    async def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found:
        return self._history.recover(asked, since=since, most_bytes=most_bytes)

    def _remembered(self, group: str, signal: Mapping[str, Any], history: History | None) -> dict[str, Any]:
        """The signal, with its position if its topic has a history."""
        if history is None:
            return dict(signal)
        position = self._history.next_position()
        sent = {**signal, "since": str(position)}
        self._history.remember(position, json.dumps(sent).encode(), Asked(group, history))
        return sent

    def keep_sync(self, key: str, value: bytes, *, seconds: int) -> None:
        self._kept.put(key, value, until=time.monotonic() + seconds)

    async def take(self, key: str) -> bytes | None:
        return self._kept.take(key)

    async def append(self, key: str, text: str, *, most: int, seconds: int) -> None:
        self._scrolls.append(key, text, most=most, seconds=seconds)

    async def read(self, key: str, behind: str, *, wait_seconds: float) -> list[Entry]:
        return await self._scrolls.wait(key, behind, seconds=wait_seconds)

    def read_sync(self, key: str) -> list[Entry]:
        return self._scrolls.read(key, BEGINNING)

    def nudge_sync(self, group: str, signal: Mapping[str, object]) -> None:
        """Who is nudged looks by itself, too, and soon: nothing here is worth a thread's way to its loop."""

    async def _send(self, question: Question, place: Place) -> int:
        """How many members heard it; whom it reached before, when it is asked once and was."""
        now, kept = time.monotonic(), self._streams[place.seconds]
        known = kept.get(place.key)
        if question.once and known is not None and now < known.until:
            return known.reached
        if known is None or question.once:
            kept.pop(place.key, None)
            _make_room(kept, now)
            known = kept[place.key] = _Stream(now + place.seconds)
        known.reached = len(self._layer.groups.get(question.group, ()))
        signal = {**question.signal, "ask": place.words()}
        await self._layer.group_send(
            question.group, self._remembered(question.group, signal, question.history)
        )
        return known.reached

    def _read(self, gathered: Gathered) -> bool:
        """Take what has been answered; whether anything lacks."""
        for key, begin in gathered.positions(gathered.missing).items():
            stream = self._stream(key)
            for position, fields in enumerate(stream.said[begin:] if stream else (), begin + 1):
                gathered.take(key, fields, position=position)
        return bool(gathered.missing)

    def _stream(self, key: str) -> _Stream | None:
        return next((kept[key] for kept in self._streams.values() if key in kept), None)


def _make_room(kept: dict[str, _Stream], now: float) -> None:
    """For one more: forget what is kept no longer, or else the oldest."""
    while kept:
        oldest = next(iter(kept))
        if len(kept) < _MOST_KEPT and now < kept[oldest].until:
            return
        del kept[oldest]
