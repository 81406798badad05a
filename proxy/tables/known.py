"""Which words filters know: those of this release, and those that a record still tells of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet

from proxy import registry
from proxy.metrics import NO_ROUTE
from proxy.models import Connection, ProgramDeed, Refusal

_MOST_SHOWN = 100
Record = type[Connection] | type[Refusal]


class UnknownWord(ValueError):
    """There is no such `what`; str() says what is nearest, and what there is."""

    def __init__(self, what: str, word: str, known: Iterable[str]) -> None:
        names, shown = sorted(known), word[:_MOST_SHOWN]
        near = get_close_matches(shown.lower(), names, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        super().__init__(f"there is no {what} {shown!r}{meant} There are: {', '.join(names) or 'none'}")
        self.what = what


def routes_known(record: Record = Connection) -> Collection[str]:
    """By name; refusals may be of none."""
    names = {route.name for route in registry.routes()}
    return {*names, NO_ROUTE} if record is Refusal else names


def check_route(name: str | None, *, record: Record) -> None:
    """Raises UnknownWord: no route is called so, and none was that `record` still tells of."""
    check_word("route", name, routes_known(record), record=record)


def check_word(field: str, word: str | None, known: Collection[str], *, record: Record) -> None:
    """Raises UnknownWord: it is none of those, nor on a row of `record`, in that field."""
    if word is not None and word not in known and not _is_recorded(record, field, word):
        raise UnknownWord(field, word, known)


def check_pool(name: str | None) -> None:
    """Raises UnknownWord: no pool is called so."""
    names = [upstream.name for upstream in registry.upstreams()]
    if name is not None and name not in names:
        raise UnknownWord("pool", name, names)


def kind_called(word: str) -> str:
    """A kind as entries of the audit have it, `proxy.block`, in whatever case it is written.

    Raises UnknownWord: nothing is done to such rows, and no entry tells of it.
    """
    kind, known = word.lower(), _kinds()
    label, _, model = kind.partition(".")
    of_staff = LogEntry.objects.filter(content_type__app_label=label, content_type__model=model)
    if kind in known or _has_any(of_staff.order_by()) or _has_any(ProgramDeed.objects.filter(kind=kind)):
        return kind
    raise UnknownWord("kind", word, known)


def _kinds() -> set[str]:
    """Of what admin has pages for, but records, which can be seen alone."""
    options = [model._meta for model in apps.get_models() if site.is_registered(model)]
    return {each.label_lower for each in options if each.permissions or each.default_permissions != ("view",)}


def _is_recorded(record: Record, field: str, word: str) -> bool:
    """Each look is answered by an index, and finds one row at most."""
    if record is Refusal:
        return _has_any(Refusal.objects.filter(**{field: word}).order_by("-refused_at"))
    rows = Connection.objects.filter(**{field: word})
    ended = rows.filter(closed_at__isnull=False).order_by("-closed_at")
    return _has_any(ended) or _has_any(rows.filter(closed_at=None).order_by())


def _has_any(rows: QuerySet[Any]) -> bool:
    return bool(rows.values_list("pk")[:1])
