"""The tables of the Live page: the newest few, read off the front of an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from proxy.admin.live_recent import Recent
from proxy.core.causes import refused_words_of, words_of
from proxy.models import Connection, Refusal

MOST_ROWS = 20
_recent = Recent()


@dataclass(frozen=True, slots=True)
class Range:
    """What was chosen on a chart: from when on, and up to when."""

    since: datetime
    until: datetime


def on_now(chosen: Range | None, nodes: Mapping[str, str]) -> list[Connection]:
    """The newest live links; with a range, of those that opened in it."""
    found = Connection.objects.filter(closed_at=None).order_by("-opened_at", "id")
    rows = _within(found, "opened_at", chosen)
    for row in rows:
        age_seconds = max(1.0, (timezone.now() - row.opened_at).total_seconds())
        row.messages = row.messages_in + row.messages_out
        row.a_second = row.messages / age_seconds
    before = _recent.note({row.pk: row.messages for row in rows})
    for row in rows:
        row.before = before[row.pk]
    return _named(rows, nodes)


def just_left(chosen: Range | None, nodes: Mapping[str, str]) -> list[Connection]:
    """Those that closed last, and why; with a range, of those that closed in it."""
    # As the listing's index has them: the order of its other columns decides whether it is read or sorted.
    newest = (F("closed_at").desc(nulls_first=True), "-opened_at", "id")
    found = Connection.objects.filter(closed_at__isnull=False).order_by(*newest)
    rows = _within(found, "closed_at", chosen)
    for row in rows:
        row.why = words_of(row.cause) or row.close_reason
        row.lasted_seconds = (row.closed_at - row.opened_at).total_seconds()
    return _named(rows, nodes)


def turned_away(chosen: Range | None) -> list[Refusal]:
    """Who was refused last, and why; with a range, of those that were refused in it."""
    rows = _within(Refusal.objects.order_by("-refused_at", "id"), "refused_at", chosen)
    for row in rows:
        row.why, row.more = refused_words_of(row.cause), row.times - 1
    return rows


def _within(found: QuerySet[Any], field: str, chosen: Range | None) -> list[Any]:
    if chosen is not None:
        found = found.filter(**{f"{field}__gte": chosen.since, f"{field}__lte": chosen.until})
    return list(found[:MOST_ROWS])


def _named(rows: list[Any], nodes: Mapping[str, str]) -> list[Any]:
    """A record may be here before its node's row, and long after it."""
    for row in rows:
        row.node_name = nodes.get(row.node_id, row.node_id[:8])
    return rows
