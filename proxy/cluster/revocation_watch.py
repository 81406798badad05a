"""A node's side of revocations: the links that it ends, and the tokens that it refuses.

Rows are looked for with the other rules of staff (rules.py): new ones each time, all of them once in a while.
No handshake asks the database, and while that is away the last ones hold.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from proxy.cluster.ending import end_link, hold_against
from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.errors import TokenRevoked
from proxy.core.principal import Principal
from proxy.core.revoking import NOBODY_KNOWS, Revocations, Revoked, Shown
from proxy.engine.links.link import Link
from proxy.models import Revocation
from proxy.tables.executor import DatabaseExecutor

log = logging.getLogger(__name__)

# New rows are looked for so much further back than the last look: a transaction may commit late.
OVERLAP_SECONDS = 30.0
# All of them are read so often: those that are over are forgotten, what came later still is found.
WHOLE_SECONDS = 300.0
ROWS_AT_ONCE = 2_000


class RevocationWatch:
    """Keeps track of what is taken back. `links` are the live links of this node."""

    def __init__(self, database: DatabaseExecutor, *, links: Callable[[], Iterable[Link]]) -> None:
        self._database, self._links = database, links
        self._revocations = Revocations()
        self._seen: frozenset[int] = frozenset()
        self._looked_at = self._whole_at = -WHOLE_SECONDS

    def check(self, user_id: str, shown: Shown) -> None:
        """Raises TokenRevoked if what a client of that user shows is taken back."""
        if self._revocations.revokes(user_id, shown):
            raise TokenRevoked

    def enforce(self, link: Link) -> bool:
        """End the link if its token is taken back; whether it has."""
        is_revoked = self._revocations.revokes(link.record.user_id, link.shown)
        return is_revoked and end_link(link, closes.TOKEN_REVOKED, ClosedBy.GATEWAY)

    async def look(self) -> None:
        """Read what is new, and hold the links against it. Raises what the database does."""
        now = asyncio.get_running_loop().time()
        if now - self._whole_at >= WHOLE_SECONDS:
            self._revocations = await self._load_whole()
            self._whole_at, self._seen = now, frozenset()
        elif not await self._look_for_new(now - self._looked_at):
            self._looked_at = now
            return
        self._looked_at = now
        await hold_against(self._links(), self.enforce)

    async def _load_whole(self) -> Revocations:
        """All that are remembered; some at a time, so that neither the loop nor the database is held up."""
        whole, after = Revocations(), 0
        while rows := await self._database.run(load_some, after=after):
            whole.add(rows.values())
            after = max(rows)
        return whole

    async def _look_for_new(self, since_seconds: float) -> bool:
        """Whether there is anything."""
        rows = await self._database.run(load_new, within_seconds=since_seconds + OVERLAP_SECONDS)
        new = [row for row_id, row in rows.items() if row_id not in self._seen]
        self._seen = frozenset(rows)
        self._revocations.add(new)
        return bool(new)


def shown_by(principal: Principal, *, at: float | None = None, vouched: bool = False) -> Shown:
    """What is to be kept of what `principal` has shown `at` that time, or now; see `Shown.by`."""
    now, lifetime_seconds = time.time() if at is None else at, settings.JWT_LIFETIME_SECONDS
    shown = Shown.by(principal, now=now, lifetime_seconds=lifetime_seconds, vouched=vouched)
    if principal.expires_at is not None and principal.expires_at - max(shown.issued_at, 0) > lifetime_seconds:
        _tell_of_long_lives(lifetime_seconds)
    return shown


@cache
def _tell_of_long_lives(lifetime_seconds: float) -> None:
    """Once a process."""
    log.warning(
        "tokens live longer than JWT_LIFETIME_SECONDS says: taken back, they are good again after so long",
        extra={"lifetime_seconds": lifetime_seconds},
    )


def load_some(*, after: int) -> dict[int, Revoked]:
    """Of those that are remembered the first whose rows' ids are greater, by their ids; none: that is all."""
    rows = Revocation.objects.filter(pk__gt=after, until__gt=timezone.now()).order_by("pk")
    return dict(_plain(rows[:ROWS_AT_ONCE]))


def load_new(*, within_seconds: float) -> dict[int, Revoked]:
    """Those of the last so many seconds, by their rows' ids."""
    return dict(_plain(_since(within_seconds).order_by()))


def renew(*, within_seconds: float) -> None:
    """Let nodes find what was written so long ago, and is committed only now."""
    _since(within_seconds).update(created_at=Now())


def is_revoked(principal: Principal) -> bool:
    """Whether a row takes back the token that `principal` has shown now; for code without a node."""
    shown = shown_by(principal)
    of_user = Q(user_id=principal.user_id) | Q(user_id="")
    meant = Q(of_user, issued_before__isnull=False)
    if shown.issued_at != NOBODY_KNOWS:
        meant &= Q(issued_before__gt=datetime.fromtimestamp(shown.issued_at, UTC))
    if shown.jti:
        meant |= Q(jti=shown.jti)
    return Revocation.objects.filter(meant, until__gt=timezone.now()).exists()


def _since(within_seconds: float) -> QuerySet[Revocation]:
    return Revocation.objects.filter(created_at__gt=Now() - timedelta(seconds=within_seconds))


def _plain(rows: QuerySet[Revocation]) -> Iterator[tuple[int, Revoked]]:
    for row_id, user_id, jti, before in rows.values_list("pk", "user_id", "jti", "issued_before").iterator():
        yield row_id, Revoked(user_id, jti, None if before is None else before.timestamp())
