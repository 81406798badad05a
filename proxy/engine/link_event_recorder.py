"""Keeps what happens to links off the hot path, as the recorder does their record."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from proxy import metrics
from proxy.core.link_events import LinkEventKind, LinkEventRecord, PendingLinkEvents
from proxy.core.records import ConnectionRecord
from proxy.engine.batch_writer import BatchWriter, Write


class LinkEventRecorder(BatchWriter[LinkEventRecord]):
    """Writes lines of links through `write`. `options` are the BatchWriter's."""

    def __init__(self, write: Write[LinkEventRecord], **options: Any) -> None:
        self._events = PendingLinkEvents()
        super().__init__(self._events, write, name="link events", **options)

    def carried_over(self, link: ConnectionRecord, *, lost: str, at: datetime) -> None:
        """The link's member `lost` is gone, and the record names the one that it leads to now."""
        self._note(link, LinkEventKind.FAILOVER, at, words=f"from {lost} to {link.upstream}")

    def dropped_messages(self, link: ConnectionRecord, count: int, *, at: datetime) -> None:
        """So many more of the client's messages went no further, since it was over its rate."""
        self._note(link, LinkEventKind.RATE_LIMITED, at, times=count)

    def ended(self, link: ConnectionRecord) -> None:
        """Nothing more happens to the link. Synchronous, O(1)."""
        self._events.ended(link.id)

    def _note(self, link: ConnectionRecord, kind: LinkEventKind, at: datetime, **values: Any) -> None:
        """Synchronous, O(1), never fails."""
        dropped_before = self._events.dropped
        self._events.note(
            LinkEventRecord(
                id=secrets.token_hex(16),
                connection_id=link.id,
                user_id=link.user_id,
                at=at,
                kind=kind,
                **values,
            )
        )
        metrics.RECORDS_DROPPED_TOTAL.inc(self._events.dropped - dropped_before)
