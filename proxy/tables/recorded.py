"""Whether a word of a filter stands on any record: a route or a cause of a release before may still."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from proxy.models import Connection, Refusal


def is_recorded(model: type[Connection] | type[Refusal], field: str, word: str) -> bool:
    """Each look is answered by an index, and finds one row at most."""
    if model is Refusal:
        return _has_any(Refusal.objects.filter(**{field: word}).order_by("-refused_at"))
    rows = Connection.objects.filter(**{field: word})
    ended = rows.filter(closed_at__isnull=False).order_by("-closed_at")
    return _has_any(ended) or _has_any(rows.filter(closed_at=None).order_by())


def _has_any(rows: QuerySet[Any]) -> bool:
    return bool(rows.values_list("pk")[:1])
