"""What the record has yet to be told: the latest snapshot of each link, coalesced and bounded."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy

from proxy.core.records import ConnectionRecord


class PendingRecords:
    """At most `most` snapshots that wait to be written, one an id, the newest of it.

    Every operation is O(1) a record. When full, snapshots of live links are dropped first, the oldest of them
    foremost, since a live link is noted again; then the oldest closed ones, whose loss is final. `dropped`
    counts both.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._live: OrderedDict[str, ConnectionRecord] = OrderedDict()
        self._closed: OrderedDict[str, ConnectionRecord] = OrderedDict()
        self._writing: dict[str, ConnectionRecord] = {}
        self.dropped = 0

    @property
    def count(self) -> int:
        """All snapshots, those being written included."""
        return len(self._live) + len(self._closed) + len(self._writing)

    @property
    def waiting(self) -> int:
        """Snapshots that are not part of the batch being written."""
        return len(self._live) + len(self._closed)

    def note(self, record: ConnectionRecord) -> str | None:
        """Keep a copy of `record`. Answers the id of a live link whose snapshot was dropped for it, or None.

        A live snapshot never replaces a closed one: a link does not come back.
        """
        if record.closed_at is not None:
            self._live.pop(record.id, None)
            self._closed[record.id] = copy(record)
        elif not self._is_closed(record.id):
            self._live[record.id] = copy(record)
        return self._trim()

    def take(self, most: int) -> list[ConnectionRecord]:
        """The next batch, closed links first; it counts as being written until `written` or `put_back`."""
        if self._writing:
            raise RuntimeError("a batch is being written already")
        for snapshots in (self._closed, self._live):
            while snapshots and len(self._writing) < most:
                connection_id, record = snapshots.popitem(last=False)
                self._writing[connection_id] = record
        return list(self._writing.values())

    def written(self) -> None:
        """The batch reached the database."""
        self._writing = {}

    def put_back(self) -> None:
        """The batch did not reach the database: keep of it what was not noted again meanwhile."""
        batch, self._writing = self._writing, {}
        for record in reversed(batch.values()):
            if record.id in self._live or record.id in self._closed:
                continue
            snapshots = self._live if record.closed_at is None else self._closed
            snapshots[record.id] = record
            snapshots.move_to_end(record.id, last=False)

    def _is_closed(self, connection_id: str) -> bool:
        writing = self._writing.get(connection_id)
        return connection_id in self._closed or (writing is not None and writing.closed_at is not None)

    def _trim(self) -> str | None:
        if self.count <= self._most:
            return None
        self.dropped += 1
        if self._live:
            return self._live.popitem(last=False)[0]
        if self._closed:
            self._closed.popitem(last=False)
        return None
