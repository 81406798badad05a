"""Words that an option takes of a set that is known: a pool, a route, a cause, a kind of row."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from proxy import registry
from proxy.management.staff_command import Misused
from proxy.models import Connection, Refusal
from proxy.tables.recorded import is_recorded


def unknown(what: str, word: str, known: Iterable[str]) -> Misused:
    """That nothing is called so, what is nearest, and what there is."""
    names = sorted(known)
    near = get_close_matches(word.lower(), names, n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    return Misused(f"there is no {what} {word!r}{meant} There are: {', '.join(names) or 'none'}")


def check_route(name: str | None, *, record: type[Connection] | type[Refusal] | None = None) -> None:
    """Raises Misused: no route is called so, and none was that `record` still tells of."""
    _check("route", name, [route.name for route in registry.routes()], record=record)


def check_cause(name: str | None, known: Iterable[str], *, record: type[Connection] | type[Refusal]) -> None:
    """Raises Misused: no cause is called so, and none was that `record` still tells of."""
    _check("cause", name, known, record=record)


def _check(
    field: str, name: str | None, known: Iterable[str], *, record: type[Connection] | type[Refusal] | None
) -> None:
    if name is None or name in known or (record is not None and is_recorded(record, field, name)):
        return
    raise unknown(field, name, known)


def check_pool(name: str | None) -> None:
    """Raises Misused: no pool is called so."""
    names = [upstream.name for upstream in registry.upstreams()]
    if name is not None and name not in names:
        raise unknown("pool", name, names)
