"""What is kept of refused handshakes, as plain values: bounded, however many are refused."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime

from proxy.core.addresses import address_key


@dataclass(slots=True, kw_only=True)
class RefusalRecord:
    """All that is kept of one refusal, or of `times` like it, of which this was the first. Times are UTC.

    `cause` is one of a few words, bounded by code; `reason` is for staff, redacted, one line. `status` is
    what the client was told, or would have been if it had not asked for a close: that has `close_code`.
    `user_id` and `email` are "" where no token was verified; `route` is "none" before one was found.
    """

    id: str
    refused_at: datetime
    route: str
    status: int
    close_code: int
    cause: str
    reason: str
    path: str = ""
    user_id: str = ""
    email: str = ""
    client_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    upstream: str = ""
    times: int = 1

    def of_one_client(self) -> RefusalRecord:
        """Where it stands for others, too, of the same address and user: without what is its own alone."""
        return replace(self, request_id="", user_agent="")

    def of_anybody(self) -> RefusalRecord:
        """Where it stands for others, too, whoever they are."""
        record = self.of_one_client()
        record.path = record.user_id = record.email = record.client_address = ""
        record.reason = record.upstream = ""
        return record


class PendingRefusals:
    """Those that wait to be written: so many of one client a minute, further ones are counted together.

    A client is an address (all of a /64) and, where it is known, a user. A flood cannot fill the table: each
    minute has room for `most_a_minute` records, and beyond for one of each cause on each route. When `most`
    wait, the oldest are given up, which `dropped` counts. Every operation is O(1) a record.
    """

    def __init__(self, *, most: int = 10_000, of_one_client: int = 10, most_a_minute: int = 1_000) -> None:
        self._most, self._of_one_client, self._most_a_minute = most, of_one_client, most_a_minute
        self._waiting: OrderedDict[str, RefusalRecord] = OrderedDict()
        self._writing: dict[str, RefusalRecord] = {}
        self.dropped = 0
        self._begin_minute(0)

    def _begin_minute(self, minute: int) -> None:
        self._minute, self._records = minute, 0
        self._of_client: Counter[tuple[str, str]] = Counter()
        self._together: dict[tuple[str, ...], RefusalRecord] = {}

    @property
    def count(self) -> int:
        """All records, those being written included."""
        return len(self._waiting) + len(self._writing)

    @property
    def waiting(self) -> int:
        """Records that are not part of the batch being written."""
        return len(self._waiting)

    def note(self, record: RefusalRecord) -> None:
        """Keep `record`, or count it where it stands with others like it."""
        minute = int(record.refused_at.timestamp() // 60)
        if minute != self._minute:
            self._begin_minute(minute)
        kept = self._kept(record)
        self._waiting[kept.id] = (
            kept if kept is record else copy(kept)
        )  # which may count on while it is written
        if self.count > self._most:
            self._waiting.popitem(last=False)
            self.dropped += 1

    def _kept(self, record: RefusalRecord) -> RefusalRecord:
        """The record that stands for `record` in this minute."""
        client = (address_key(record.client_address), record.user_id)
        like_it = (*client, record.cause, record.route)
        if like_it not in self._together:
            if self._records >= self._most_a_minute:
                return self._counted((record.cause, record.route), record.of_anybody)
            self._records += 1
            self._of_client[client] += 1
            if self._of_client[client] <= self._of_one_client:
                return record
        return self._counted(like_it, record.of_one_client)

    def _counted(self, key: tuple[str, ...], first: Callable[[], RefusalRecord]) -> RefusalRecord:
        together = self._together.get(key)
        if together is None:
            together = self._together[key] = first()
        else:
            together.times += 1
        return together

    def take(self, most: int) -> list[RefusalRecord]:
        """The next batch, the oldest; it counts as being written until `written` or `put_back`."""
        if self._writing:
            raise RuntimeError("a batch is being written already")
        while self._waiting and len(self._writing) < most:
            record_id, record = self._waiting.popitem(last=False)
            self._writing[record_id] = record
        return list(self._writing.values())

    def written(self) -> None:
        """The batch reached the database."""
        self._writing = {}

    def put_back(self) -> None:
        """The batch did not reach the database: keep of it what has not counted on meanwhile."""
        batch, self._writing = self._writing, {}
        for record in reversed(batch.values()):
            if record.id not in self._waiting:
                self._waiting[record.id] = record
                self._waiting.move_to_end(record.id, last=False)
