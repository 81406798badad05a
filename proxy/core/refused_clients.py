"""How many clients are refused. One that comes again and again is one, however often."""

from __future__ import annotations

from collections import Counter, OrderedDict

from proxy.core.addresses import address_key
from proxy.core.refusal_records import RefusalRecord

REMEMBERED_SECONDS = 600.0


class RefusedClients:
    """Who was refused within the last ten minutes, by route and cause; `most` in all, the latest.

    A client is an address (IPv6: its /64) and the user, where a token told one.
    """

    def __init__(self, *, most: int = 5_000) -> None:
        self._most = most
        self._refused_at: OrderedDict[tuple[str, ...], float] = OrderedDict()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def note(self, record: RefusalRecord) -> None:
        client = (record.route, record.cause, address_key(record.client_address), record.user_id)
        if self._refused_at.pop(client, None) is None:
            self._counts[client[:2]] += 1
        self._refused_at[client] = record.refused_at.timestamp()
        if len(self._refused_at) > self._most:
            self._forget_one()

    def counts(self, now: float) -> Counter[tuple[str, ...]]:
        """How many, by route and cause, at `now` (Unix seconds); 0 of what there was before."""
        while self._refused_at and next(iter(self._refused_at.values())) <= now - REMEMBERED_SECONDS:
            self._forget_one()
        return self._counts

    def _forget_one(self) -> None:
        client, _ = self._refused_at.popitem(last=False)
        self._counts[client[:2]] -= 1
