"""Keeps the record of refusals off the hot path, as the recorder does that of links."""

from __future__ import annotations

import time
from typing import Any

from proxy import metrics
from proxy.core.refusal_records import MINUTE_SECONDS, PendingRefusals, RefusalRecord
from proxy.core.refused_clients import RefusedClients
from proxy.engine.batch_writer import BatchWriter, Write


class RefusalRecorder(BatchWriter[RefusalRecord]):
    """Writes records of refusals through `write`. `options` are the BatchWriter's."""

    def __init__(self, write: Write[RefusalRecord], **options: Any) -> None:
        self._refusals, self._clients = PendingRefusals(), RefusedClients()
        super().__init__(self._refusals, write, name="refusals", **options)

    def note(self, record: RefusalRecord) -> None:
        """Take one refusal. Synchronous, never fails."""
        dropped_before = self._refusals.dropped
        self._refusals.note(record)
        self._clients.note(record)
        metrics.RECORDS_DROPPED_TOTAL.inc(self._refusals.dropped - dropped_before)

    def measure(self) -> None:
        """Bring the gauge of refused clients up to date."""
        for (route, cause), count in self._clients.counts(time.time()).items():
            metrics.child(metrics.REFUSED_CLIENTS, route, cause).set(count)

    async def flush(self) -> None:
        """As the BatchWriter's; what has counted on in a minute that is over is written, too."""
        self._refusals.settle(time.time())
        await super().flush()

    async def close(self, deadline_seconds: float) -> int:
        """As the BatchWriter's; no minute goes on."""
        self._refusals.settle(time.time() + MINUTE_SECONDS)
        return await super().close(deadline_seconds)
