"""Messages on their way to the database: all that wait are kept in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import Error

from experience.chat import store
from experience.chat.batching import Batches
from experience.chat.store import Draft, Written
from proxy.api import DatabaseExecutor

log = logging.getLogger(__name__)

MOST_AT_ONCE = 128

# Told what became of a draft, on the event loop, in the order of sends; None: it is not known whether it was
# kept, or no database takes it.
OnWritten = Callable[[Written | None], None]


class Full(Exception):
    """So many messages wait to be kept that this one was not taken."""


class Writer(Batches[tuple[Draft, OnWritten]]):
    """Keeps what is sent, in order. The longer the database takes, the more goes into one transaction."""

    def __init__(self, database: DatabaseExecutor) -> None:
        super().__init__(self._write, most_at_once=MOST_AT_ONCE)
        self._database = database

    def send(self, draft: Draft, on_written: OnWritten) -> None:
        """Have it kept. Raises Full."""
        if not self.put((draft, on_written)):
            raise Full

    async def _write(self, some: list[tuple[Draft, OnWritten]]) -> None:
        written: list[Written | None] = [None] * len(some)
        try:
            written = await self._database.run(store.write, [draft for draft, _ in some])
        except (Error, TimeoutError) as error:
            log.warning("messages were not kept", extra={"messages": len(some), "why": type(error).__name__})
        finally:
            for (_, on_written), each in zip(some, written, strict=True):
                on_written(each)
