"""Scrolls: short-lived lists of texts that one process writes and others read from wherever they are."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

from proxy.engine.calls import wait_at_most

BEGINNING, FIELD = "0-0", "text"
AT_ONCE = 100
# Timers may be early by a tick of their clock.
_LATE_SECONDS = 0.05


class Entry(NamedTuple):
    """A text, and where it stands: what is behind it can be read from there on."""

    position: str
    text: str


def entries_of(streams: Iterable[tuple[Any, Iterable[tuple[bytes, Mapping[bytes, bytes]]]]]) -> list[Entry]:
    """What Redis answers of one stream."""
    return [
        Entry(position.decode(), fields[FIELD.encode()].decode())
        for _, entries in streams
        for position, fields in entries
        if FIELD.encode() in fields
    ]


@dataclass(slots=True)
class _Scroll:
    until: float
    texts: deque[tuple[int, str]] = field(default_factory=deque)
    written: int = 0
    timer: asyncio.TimerHandle | None = None
    waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=set)


class MemoryScrolls:
    """Those of one process without Redis, which any of its threads may read."""

    def __init__(self) -> None:
        self._scrolls: dict[str, _Scroll] = {}
        self._lock = Lock()

    def append(self, key: str, text: str, *, most: int, seconds: int) -> None:
        """As the store's. On the event loop of who writes to it, always the same."""
        now = time.monotonic()
        with self._lock:
            self._drop_old()
            scroll = self._scrolls.setdefault(key, _Scroll(now))
            scroll.until, scroll.written = now + seconds, scroll.written + 1
            self._forget_later(scroll, seconds)
            scroll.texts.append((scroll.written, text))
            while len(scroll.texts) > most:
                scroll.texts.popleft()
            waiting = tuple(scroll.waiting)
        for loop, news in waiting:
            with suppress(RuntimeError):  # that loop has ended meanwhile
                loop.call_soon_threadsafe(news.set)

    def read(self, key: str, behind: str) -> list[Entry]:
        """What stands there behind a position."""
        number = int(behind.partition("-")[0])
        with self._lock:
            self._drop_old()
            scroll = self._scrolls.get(key)
            texts = [] if scroll is None else list(scroll.texts)
        return [Entry(f"{at}-0", text) for at, text in texts if at > number]

    async def wait(self, key: str, behind: str, *, seconds: float) -> list[Entry]:
        """What stands there, or comes first within so long."""
        news = asyncio.Event()
        me = asyncio.get_running_loop(), news
        with self._lock:
            scroll = self._scrolls.setdefault(key, _Scroll(time.monotonic()))
            scroll.waiting.add(me)
        try:
            found = self.read(key, behind)
            if found or not seconds:
                return found
            await wait_at_most(seconds, news.wait())
            return self.read(key, behind)
        finally:
            with self._lock:
                scroll.waiting.discard(me)
                self._drop_old()

    def _forget_later(self, scroll: _Scroll, seconds: float) -> None:
        if scroll.timer is not None:
            scroll.timer.cancel()
        with suppress(RuntimeError):  # code that is not async has no clock: then it goes with the next call
            scroll.timer = asyncio.get_running_loop().call_later(seconds + _LATE_SECONDS, self._forget)

    def _forget(self) -> None:
        with self._lock:
            self._drop_old()

    def _drop_old(self) -> None:
        """Who waits for one whose time is over waits for the next, and has nothing of it."""
        now = time.monotonic()
        for key in [key for key, scroll in self._scrolls.items() if scroll.until <= now]:
            self._scrolls[key].texts.clear()
            if not self._scrolls[key].waiting:
                del self._scrolls[key]
