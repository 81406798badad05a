"""Live connections that a filter finds, for what is done to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rest_framework.exceptions import ParseError

from proxy.models import Connection
from proxy.rest.connections import FILTERS
from proxy.rest.fields import Body, Text
from proxy.rest.paging import check_word, routes_known
from proxy.tables.counting import MOST_COUNTED
from proxy.tables.node_names import by_columns

_MAX_ID_CHARS = 255


class LinksSerializer(Body):
    """Live connections, by what they all have."""

    user = Text(max_length=_MAX_ID_CHARS, required=False)
    route = Text(max_length=_MAX_ID_CHARS, required=False)
    topic = Text(max_length=_MAX_ID_CHARS, required=False)
    node = Text(max_length=300, required=False, help_text="Its id, or HOST:PID.")


class Found(NamedTuple):
    """Which they are, and by what they were found, as the audit has it."""

    connection_ids: list[str]
    found_by: str


def found_by_filter(wanted: Mapping[str, str]) -> Found:
    """Those that have all of that. Raises ParseError: there is no such route, or they are too many."""
    check_route(wanted.get("route"))
    ids = live_ids({FILTERS[name][0]: value for name, value in wanted.items()})
    return Found(ids, "&".join(f"{name}={value}" for name, value in wanted.items()))


def check_route(name: str | None) -> None:
    """Raises ParseError for one that there is not: nobody is on it, and nothing would come of it."""
    if name is not None:
        check_word(name, routes_known(), Connection, "route", name="route")


def live_ids(wanted: Mapping[str, Any]) -> list[str]:
    """Of connections that have all that in their columns. Raises ParseError: they are too many."""
    live = Connection.objects.filter(closed_at=None, **by_columns(wanted)).order_by("pk")
    ids = list(live.values_list("pk", flat=True)[: MOST_COUNTED + 1])
    if len(ids) > MOST_COUNTED:
        raise ParseError(f"those are more than {MOST_COUNTED:,} links: choose fewer, or name the users")
    return ids
