"""Live links chosen by what they all have: so kicks and messages find them, over HTTP and from a shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.core.addresses import parse_address
from proxy.core.human import counted
from proxy.models import Connection
from proxy.tables.counting import MOST_COUNTED
from proxy.tables.known import check_route
from proxy.tables.node_names import by_columns, running_called

FILTERS = {
    "user": "user_id",
    "route": "route",
    "topic": "topic",
    "address": "client_address",
    "node": "node_id",
}


class WrongFilter(ValueError):
    """What was given for the filter `name` is none; str() says why, behind the name."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name


class TooManyLinks(ValueError):
    """More than can be named have all that; str() says so."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ids of live links, of how many users they are, and by what they were found, as the audit has it."""

    connection_ids: list[str]
    users: int
    found_by: str

    def __str__(self) -> str:
        return f"{counted(len(self.connection_ids), 'live link')} of {counted(self.users, 'user')}"

    def whom(self) -> dict[str, Any]:
        """For `kick` and `tell`."""
        return {"connection_ids": self.connection_ids, "found_by": self.found_by}


def chosen(filters: Mapping[str, str]) -> Chosen:
    """The live links that fit all of `FILTERS` that are given; there may be none.

    Raises:
        WrongFilter: one is empty, is no address, or names several nodes.
        UnknownWord: there is no such route, and there was none.
        TooManyLinks: more than MOST_COUNTED fit.
        django.db.Error: the database is away.
    """
    wanted = {FILTERS[name]: _value(name, text) for name, text in filters.items()}
    rows = Connection.objects.filter(closed_at=None, **by_columns(wanted)).order_by("pk")
    found = list(rows.values_list("pk", "user_id")[: MOST_COUNTED + 1])
    found_by = "&".join(f"{name}={text}" for name, text in filters.items())
    if len(found) > MOST_COUNTED:
        raise TooManyLinks(
            f"more than {MOST_COUNTED:,} links have {found_by}: choose fewer, or name the users"
        )
    users = {user_id for _, user_id in found} - {""}
    return Chosen([link for link, _ in found], len(users), found_by)


def _value(name: str, text: str) -> str:
    if not text.strip():
        raise WrongFilter(name, "is empty")
    match name:
        case "route":
            check_route(text, record=Connection)
        case "address":
            address = parse_address(text)
            if address is None:
                raise WrongFilter(name, f"is one IP address, got {text[:64]!r}")
            return str(address)
        case "node" if len(running_called(text)) > 1:
            raise WrongFilter(name, "is the name of several; give an id")
    return text
