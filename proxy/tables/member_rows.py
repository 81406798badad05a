"""What this node knows of its pools' members, written for admin every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from django.db.models.functions import Now

from proxy.engine.pools.members import Member, MemberState
from proxy.engine.pools.pool import Pool
from proxy.models import MemberReport
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.looking import look_forever

REPORT_SECONDS = 2.0
# What does not change is written this often all the same; what is older than three times that is gone.
STEADY_SECONDS = 10.0
GONE_SECONDS = 3 * STEADY_SECONDS
FAILING, NOT_TRIED = "failing", "not tried yet"
_FIELDS = ["state", "since", "breaker", "links", "dial_ms", "last_error", "updated_at"]


class MemberReporter:
    """Writes one row a member, when something about it changed, and every ten seconds."""

    def __init__(self, database: DatabaseExecutor, *, node_id: str, pools: Iterable[Pool]) -> None:
        self._database, self._node_id, self._pools = database, node_id, tuple(pools)
        self._written: list[tuple[object, ...]] = []
        self._written_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        await look_forever(self._report, seconds=REPORT_SECONDS, fails="members: cannot report")

    async def _report(self) -> None:
        rows, now = self.rows(), asyncio.get_running_loop().time()
        seen = [_values(row) for row in rows]
        if seen != self._written or now - self._written_at > STEADY_SECONDS:
            await self._database.run(write_reports, rows)
            self._written, self._written_at = seen, now

    def rows(self) -> list[MemberReport]:
        return [
            MemberReport(
                node_id=self._node_id,
                pool=pool.name,
                url=member.url[:255],
                state=_shown_state(member),
                breaker=member.breaker_state.value,
                links=member.links,
                dial_ms=None if member.dial_seconds is None else round(member.dial_seconds * 1000, 2),
                last_error=member.last_error[:255],
                updated_at=Now(),
            )
            for pool in self._pools
            for member in pool.all_members()
        ]


def _shown_state(member: Member) -> str:
    """As people understand it: one that may be dialled, and has never answered, is not yet available."""
    if member.state is MemberState.AVAILABLE and not member.answered:
        return FAILING if member.last_error else NOT_TRIED
    return member.state.value


def _values(row: MemberReport) -> tuple[object, ...]:
    return (row.pool, row.url, row.state, row.breaker, row.links, row.last_error)


def write_reports(rows: list[MemberReport]) -> None:
    """Upsert `rows`, and delete what nobody has confirmed for a while."""
    if rows:
        _keep_since(rows)
        MemberReport.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["node", "pool", "url"], update_fields=_FIELDS
        )
    MemberReport.objects.filter(updated_at__lt=Now() - timedelta(seconds=GONE_SECONDS)).delete()


def _keep_since(rows: list[MemberReport]) -> None:
    """A state that is what it was is so since when it was; any other, since now."""
    before = MemberReport.objects.filter(node=rows[0].node_id).values_list("pool", "url", "state", "since")
    known = {(pool, url, state): since for pool, url, state, since in before}
    for row in rows:
        row.since = known.get((row.pool, row.url, row.state)) or Now()
