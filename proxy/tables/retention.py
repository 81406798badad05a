"""Forgetting: records of connections that closed long ago, what hangs on them, and what is over: revocations,
and sessions.

Rows go in short transactions, so that the nodes can go on writing meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from proxy.core.people import NoteKind
from proxy.models import Connection, Kick, LinkEvent, Node, ProgramDeed, Refusal, Revocation, StaffNote
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.heart import running_nodes

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 5_000
ROUND_SECONDS = 3600.0
# After a round that failed, on a table that somebody locks, say.
RETRY_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
# A kick matters while some node may have missed it, since its database was away. The log has it for longer.
KICKS_KEPT = timedelta(days=1)
# A flood of them that lasts would fill the disk long before they are old.
MOST_REFUSALS = 1_000_000
MOST_DEEDS = 1_000_000
# These are forgotten once they are over, however long the rest is kept.
WHEN_OVER = frozenset({"kicks", "revocations", "sessions"})
_WORDS = {
    "link_events": "events of links",
    "staff_deeds": "staff's deeds",
    "program_deeds": "programs' deeds",
}


def steps(days: float) -> list[tuple[str, Callable[[], int]]]:
    """What there is to delete: a name, and a call that deletes some and says how many; 0 when it is done."""
    before = timezone.now() - timedelta(days=days)
    deeds = StaffNote.objects.exclude(kind=NoteKind.NOTE.value)
    held = Connection.objects.filter(node=OuterRef("pk"))
    return [
        ("connections", lambda: _delete_some(Connection.objects.filter(closed_at__lt=before))),
        ("refusals", lambda: _delete_some(_old(Refusal, "refused_at", MOST_REFUSALS, before))),
        ("link_events", lambda: _delete_some(LinkEvent.objects.filter(at__lt=before))),
        ("staff_deeds", lambda: _delete_some(deeds.filter(at__lt=before))),
        ("program_deeds", lambda: _delete_some(_old(ProgramDeed, "at", MOST_DEEDS, before))),
        ("nodes", lambda: _delete_some(Node.objects.filter(~Exists(held), stopped_at__lt=before))),
        ("kicks", lambda: _delete_some(Kick.objects.filter(created_at__lt=timezone.now() - KICKS_KEPT))),
        ("revocations", lambda: _delete_some(Revocation.objects.filter(until__lt=timezone.now()))),
        ("sessions", lambda: _delete_some(Session.objects.filter(expire_date__lt=timezone.now()))),
    ]


def forget(days: float) -> dict[str, int]:
    """Delete all that is older than so many days: how many rows of each. For code that is not async."""
    return {name: sum(iter(delete_some, 0)) for name, delete_some in steps(days)}


def in_words(forgotten: Mapping[str, int]) -> str:
    return ", ".join(f"{rows} {_WORDS.get(name, name)}" for name, rows in forgotten.items()) + " deleted"


class Retention:
    """Forgets every hour, on one node at a time: the one that has been running longest."""

    def __init__(self, *, node_id: str, days: float, round_seconds: float = ROUND_SECONDS) -> None:
        self._node_id, self._days, self._round_seconds = node_id, days, round_seconds
        self._fails = False

    async def run(self) -> None:
        """Until cancelled. The first round comes at no certain time, so that restarts do not put it off."""
        wait_seconds = self._round_seconds
        while True:
            await asyncio.sleep(wait_seconds * random.uniform(0.05, 1))  # noqa: S311  a jitter
            wait_seconds = await self.round()

    async def round(self) -> float:
        """Forget, and answer when to do so again, in seconds: soon, if it failed, which is logged once."""
        try:
            await self.forget_if_first()
        except Exception as error:  # noqa: BLE001  the task's outermost edge
            if not self._fails:
                log.warning("retention: not done, to be tried again", extra={"why": repr(error)})
            self._fails = True
            return min(RETRY_SECONDS, self._round_seconds)
        self._fails = False
        return self._round_seconds

    async def forget_if_first(self) -> dict[str, int] | None:
        """One round; None if it is another node's. Raises what the database does."""
        database = DatabaseExecutor()  # of its own: the record does not wait for what is deleted
        try:
            if await database.run(_first_node) != self._node_id:
                return None
            forgotten = dict[str, int]()
            for name, delete_some in steps(self._days):
                forgotten[name] = 0
                while deleted := await database.run(delete_some):
                    forgotten[name] += deleted
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await database.close()
        log.info("retention", extra={"deleted": in_words(forgotten)})
        return forgotten


def _first_node() -> str | None:
    return running_nodes().order_by("started_at", "pk").values_list("pk", flat=True).first()


def _old(model: type[Any], at: str, most: int, before: datetime) -> QuerySet[Any]:
    """Rows of before that time, and all but the newest `most`. Those two steps read one index."""
    newest = model.objects.order_by(f"-{at}", "id").values_list(at, flat=True)
    too_many = list(newest[most : most + 1])
    rows: QuerySet[Any] = model.objects.all()
    return rows.filter(**{f"{at}__lte": max(before, *too_many) if too_many else before})


def _delete_some(old: QuerySet[Any]) -> int:
    ids = list(old.order_by().values_list("pk", flat=True)[:ROWS_AT_ONCE])
    old.model._default_manager.filter(pk__in=ids).delete()
    return len(ids)
