"""Messages on their way to the database: all that wait are kept in one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import Error

from experience.chat import service_counts, store
from experience.chat.batching import Batches
from experience.chat.store import Draft, Written
from proxy.api import DatabaseExecutor, child

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
            _count(None)
            raise Full
        service_counts.SENDS_WAITING.inc()

    async def _write(self, some: list[tuple[Draft, OnWritten]]) -> None:
        written: list[Written | None] = [None] * len(some)
        began = time.monotonic()
        try:
            written = await self._database.run(store.write, [draft for draft, _ in some])
        except (Error, TimeoutError) as error:
            log.warning("messages were not kept", extra={"messages": len(some), "why": type(error).__name__})
        finally:
            service_counts.SENDS_WAITING.dec(len(some))
            service_counts.BATCH_MESSAGES.observe(len(some))
            service_counts.WRITE_SECONDS.observe(time.monotonic() - began)
            for (_, on_written), each in zip(some, written, strict=True):
                _count(each)
                on_written(each)


def _count(written: Written | None) -> None:
    if written is None:
        outcome = "failed"
    elif written.kept is None:
        outcome = "key_reused"
    else:
        outcome = "repeated" if written.is_repeat else "kept"
    child(service_counts.SENDS_TOTAL, outcome).inc()
