"""Words that an option takes of a set that is known: a pool, a route, a cause, a kind of row."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from proxy import registry
from proxy.management.staff_command import Misused


def unknown(what: str, word: str, known: Iterable[str]) -> Misused:
    """That nothing is called so, what is nearest, and what there is."""
    names = sorted(known)
    near = get_close_matches(word.lower(), names, n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    return Misused(f"there is no {what} {word!r}{meant} There are: {', '.join(names) or 'none'}")


def check_route(name: str | None, *, is_in_record: bool) -> None:
    """Once nothing was found. Raises Misused: no route is called so, and none was."""
    names = [route.name for route in registry.routes()]
    if name is not None and name not in names and not is_in_record:
        raise unknown("route", name, names)


def check_pool(name: str | None) -> None:
    """Raises Misused: no pool is called so."""
    names = [upstream.name for upstream in registry.upstreams()]
    if name is not None and name not in names:
        raise unknown("pool", name, names)
