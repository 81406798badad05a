"""Messages on their way to the database: all that wait are kept in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from django.db import Error

from experience.chat import store
from experience.chat.store import Draft, Written
from proxy.api import DatabaseExecutor

log = logging.getLogger(__name__)

MOST_AT_ONCE = 128
MOST_WAITING = 10_000

# Told what became of a draft, on the event loop, in the order of sends; None: it is not known whether it was
# kept, or no database takes it.
OnWritten = Callable[[Written | None], None]


class Full(Exception):
    """So many messages wait to be kept that this one was not taken."""


class Writer:
    """Keeps what is sent, in order. The longer the database takes, the more goes into one transaction."""

    def __init__(self, database: DatabaseExecutor) -> None:
        self._database = database
        self._waiting: deque[tuple[Draft, OnWritten]] = deque()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def send(self, draft: Draft, on_written: OnWritten) -> None:
        """Have it kept. Raises Full."""
        if len(self._waiting) >= MOST_WAITING:
            raise Full
        self._waiting.append((draft, on_written))
        self._idle.clear()
        self._wake.set()

    async def until_idle(self) -> None:
        """Returns once nothing waits and nothing is under way."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Until cancelled; what waits then is not kept, and nobody was told that it was."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write_some()
            self._idle.set()

    async def _write_some(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
        written: list[Written | None] = [None] * len(some)
        try:
            written = await self._database.run(store.write, [draft for draft, _ in some])
        except (Error, TimeoutError) as error:
            log.warning("messages were not kept", extra={"messages": len(some), "why": type(error).__name__})
        finally:
            for (_, on_written), each in zip(some, written, strict=True):
                on_written(each)
