"""A node's side of kicks: it ends its links, by message or by row, and says how many.

Rows are looked for when a kick is announced, after a gap of the channel layer, and every two seconds anyway.
So a node that Redis does not reach gets its kicks from the database, and one whose database is away gets them
from Redis.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from proxy.cluster.ending import end_link, hold_against
from proxy.cluster.kicks import fields_of
from proxy.cluster.signals import KICKS
from proxy.core.closes import KICKED, ClosedBy
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link
from proxy.models import Kick, KickReport
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.looking import look_forever

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.7  # as in rules.py
# Rows are looked for so much further back than the last look: a transaction may commit late.
OVERLAP_SECONDS = 30.0
# Kicks that are known by message and that no row was seen of.
MOST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class KickRow:
    """A kick as plain values. `at` is when it was, by this node's clock, which may differ from the
    database's."""

    id: str
    user_ids: frozenset[str]
    connection_ids: frozenset[str]
    everyone: bool
    reason: str
    at: datetime

    def hits(self, link: Link) -> bool:
        """Whether the link is meant; one that opened after the kick is not."""
        record = link.record
        if record.opened_at > self.at:
            return False
        return self.everyone or record.id in self.connection_ids or record.user_id in self.user_ids


class KickWatch:
    """Keeps track of the kicks that concern this node. `links` are its live links.

    A row is held once against the links that are live when it is first seen, and against those that are let
    in afterwards: one may have opened before the kick and been let in since.
    """

    def __init__(
        self, database: DatabaseExecutor, *, node_id: str, links: Callable[[], Iterable[Link]]
    ) -> None:
        self._database, self._node_id, self._links = database, node_id, links
        self._rows: dict[str, KickRow] = {}
        self._newest_at = datetime.min.replace(tzinfo=UTC)
        self._ended: dict[str, set[str]] = {}
        self._reported: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._looked_at: float | None = None

    def listen(self, hub: Hub) -> None:
        """Hear of new rows, and of gaps in which word of some may have been lost."""
        hub.receive(KICKS, lambda *_: self._wake.set())
        hub.on_gap(self._wake.set)

    def opened(self, link: Link) -> None:
        """The link was let in just now."""
        if link.record.opened_at <= self._newest_at:
            for row in self._rows.values():
                self._end_if_meant(row, link)

    def ended(self, kick_id: str, link: Link) -> None:
        """A message ended the link."""
        if kick_id not in self._ended and len(self._ended) >= MOST_KEPT:
            self._forget(next(iter(self._ended)))
        self._ended.setdefault(kick_id, set()).add(link.id)

    async def run(self) -> None:
        """Look for rows until cancelled."""
        await look_forever(
            self.look, seconds=LOOK_SECONDS, fails="kicks: the database is away", wake=self._wake
        )

    async def look(self) -> None:
        """Carry out what rows ask for and was not heard of, and report. Raises what the database does."""
        now = asyncio.get_running_loop().time()
        since = 0.0 if self._looked_at is None else now - self._looked_at
        rows = await self._database.run(load_kicks, within_seconds=since + OVERLAP_SECONDS)
        new = [row for row in rows if row.id not in self._rows]
        self._rows = {row.id: self._rows.get(row.id, row) for row in rows}
        self._newest_at = max((row.at for row in self._rows.values()), default=self._newest_at)
        await self._carry_out(new)
        news = {row.id: len(self._ended.get(row.id, ())) for row in rows}
        news = {kick_id: links for kick_id, links in news.items() if self._reported.get(kick_id) != links}
        if news:
            await self._database.run(write_reports, news, node_id=self._node_id)
        for kick_id in self._reported.keys() - self._rows.keys():
            self._forget(kick_id)
        self._reported |= news
        self._looked_at = now

    async def _carry_out(self, rows: Iterable[KickRow]) -> None:
        for row in rows:
            await hold_against(self._links(), partial(self._end_if_meant, row))
            ended = len(self._ended.get(row.id, ()))
            log.info("kick carried out", extra=fields_of(row) | {"links": ended})

    def _end_if_meant(self, row: KickRow, link: Link) -> bool:
        if link.id in self._ended.get(row.id, ()) or not row.hits(link):
            return False
        if not end_link(link, KICKED.saying(row.reason), ClosedBy.STAFF):
            return False
        self.ended(row.id, link)
        return True

    def _forget(self, kick_id: str) -> None:
        self._ended.pop(kick_id, None)
        self._reported.pop(kick_id, None)


def load_kicks(*, within_seconds: float) -> list[KickRow]:
    """The kicks of the last so many seconds."""
    age = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    since = Now() - timedelta(seconds=within_seconds)
    rows = list(Kick.objects.filter(created_at__gte=since).annotate(age=age))
    now = datetime.now(UTC)
    return [
        KickRow(
            row.pk,
            frozenset(row.user_ids),
            frozenset(row.connection_ids),
            row.everyone,
            row.reason,
            now - row.age,
        )
        for row in rows
    ]


def write_reports(links: Mapping[str, int], *, node_id: str) -> None:
    """Say how many links the node ended for each kick."""
    KickReport.objects.bulk_create(
        [KickReport(kick_id=kick_id, node_id=node_id, links=ended) for kick_id, ended in links.items()],
        update_conflicts=True,
        unique_fields=["kick", "node"],
        update_fields=["links"],
    )
