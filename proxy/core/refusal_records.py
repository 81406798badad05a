"""What is kept of refused handshakes, as plain values: bounded, however many are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from proxy.core.addresses import address_key, site_key
from proxy.core.coalescing import Coalescing

MINUTE_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class RefusalRecord:
    """All that is kept of one refusal, or of `times` like it, of which this was the first. Times are UTC.

    `cause` is one of a few words, bounded by code; `reason` is for staff, redacted, one line. `status` is
    what the client was told, or would have been if it had not asked for a close: that has `close_code`.
    `user_id` and `email` are "" where no token was verified, `is_known` says that it was valid, too; `route`
    is "none" before one was found.
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
    is_known: bool = False
    client_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    upstream: str = ""
    times: int = 1

    def of_one_client(self) -> RefusalRecord:
        """Where it stands for others, too, of the same address and user: without what is its own alone."""
        return replace(self, request_id="", user_agent="")

    def of_one_place(self) -> RefusalRecord:
        """Where it stands for others, too, of the same address, or network, whoever they are."""
        return replace(self.of_one_client(), user_id="", email="", reason="", path="", upstream="")

    def of_anybody(self) -> RefusalRecord:
        """Where it stands for others, too, whoever they are and wherever they come from."""
        return replace(self.of_one_place(), client_address="")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalBounds:
    """How many refusals are kept as records of their own in a minute; further ones are counted together.

    `client`: of an address (all of a /64) and, where it is known, a user. `address`: of one such address,
    whoever they say they are. `site`: of an IPv6 /48. `all` is for clients whose tokens are valid, and half
    of it for all others, so that strangers cannot use up what is kept of users.
    """

    client: int = 10
    address: int = 30
    site: int = 100
    all: int = 1_000


class PendingRefusals(Coalescing[RefusalRecord]):
    """Those that wait to be written: so many of one client a minute, further ones are counted together.

    Whatever comes, a minute has room for `bounds.all` records, and beyond for one of each cause on each
    route. A record that counts on is written again when its count has doubled, and at the end of its minute.
    When `most` wait, the oldest are given up: `dropped` says how many refusals that were. Every operation is
    O(1) a record, but for the end of a minute.
    """

    def __init__(self, *, most: int = 10_000, bounds: RefusalBounds | None = None) -> None:
        super().__init__(most=most)
        self._bounds = bounds or RefusalBounds()
        self._written_times: dict[str, int] = {}  # of those that count on
        self.dropped = 0
        self._minute = 0.0
        self._begin_minute()

    def _begin_minute(self) -> None:
        self._records = 0
        self._kept_of: Counter[tuple[str, ...]] = Counter()
        self._together: dict[tuple[str, ...], RefusalRecord] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

    def note(self, record: RefusalRecord) -> None:
        """Keep `record`, or count it where it stands with others like it."""
        self.settle(record.refused_at.timestamp())
        kept = self._kept(record)
        if kept.times & (kept.times - 1) == 0:  # 1, 2, 4, 8…
            self._wait(kept)

    def settle(self, now: float) -> None:
        """Whatever has counted on in a minute that is over at `now` (Unix seconds) is to be written."""
        minute = now // MINUTE_SECONDS
        if minute > self._minute:
            for record in tuple(self._together.values()):
                if record.times > self._told_of(record.id):
                    self._wait(record)
            self._minute = minute
            self._begin_minute()

    def _told_of(self, record_id: str) -> int:
        """How many times its newest copy has that was taken, or waits."""
        for copies in (self._waiting, self._writing):
            if record_id in copies:
                return copies[record_id].times
        return self._written_times.get(record_id, 0)

    def _gave_up(self, record: RefusalRecord) -> None:
        """It counts no further: what is like it makes another record."""
        key = self._keys.pop(record.id, None)
        counted = self._together.pop(key) if key is not None else record
        under_way = self._writing.get(record.id)
        told = under_way.times if under_way is not None else self._written_times.get(record.id, 0)
        self.dropped += max(counted.times, record.times) - told

    def _kept(self, record: RefusalRecord) -> RefusalRecord:
        """The record that stands for `record` in this minute."""
        client = (address_key(record.client_address), record.user_id)
        key, first = self._like(record, client)
        if key not in self._together:
            if self._records >= (self._bounds.all if record.is_known else self._bounds.all // 2):
                return self._counted((record.cause, record.route), record.of_anybody)
            self._records += 1
        if key:
            return self._counted(key, first)
        for each in ((site_key(record.client_address),), client[:1], client):
            self._kept_of[each] += 1
        return record

    def _like(
        self, record: RefusalRecord, client: tuple[str, str]
    ) -> tuple[tuple[str, ...], Callable[[], RefusalRecord]]:
        """With which others it is to be counted, () for none; and how it would begin to stand for them."""
        bounds = self._bounds
        places = ((site_key(record.client_address), bounds.site), (client[0], bounds.address))
        for place, most in places:
            if place and self._kept_of[place,] >= most:
                return (place, "", record.cause), record.of_one_place
        if self._kept_of[client] >= bounds.client:
            return (*client, record.cause, record.route), record.of_one_client
        return (), record.of_one_client

    def _counted(self, key: tuple[str, ...], first: Callable[[], RefusalRecord]) -> RefusalRecord:
        together = self._together.get(key)
        if together is None:
            together = self._together[key] = first()
            self._keys[together.id] = key
        else:
            together.times += 1
        return together

    def written(self) -> None:
        """The batch reached the database."""
        counting = {each: record.times for each, record in self._writing.items() if each in self._keys}
        self._written_times = {
            each: times
            for each, times in (self._written_times | counting).items()
            if each in self._keys or each in self._waiting
        }
        super().written()
