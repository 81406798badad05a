"""Live links chosen by what they have in common: the options by which kicks and messages find them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from proxy.core.addresses import parse_address
from proxy.core.human import counted
from proxy.management.known import check_route
from proxy.management.naming import running_node
from proxy.management.staff_command import Misused
from proxy.models import Connection

# As many as admin takes with a selection.
MOST_CHOSEN = 10_000
FILTERS = {
    "user": "user_id",
    "route": "route",
    "topic": "topic",
    "address": "client_address",
    "node": "node_id",
}


def add_filters(parser: CommandParser) -> None:
    """Those that are given have all to fit."""
    parser.add_argument("--user", metavar="ID", help="links of this user id")
    parser.add_argument("--route", help="links on this route")
    parser.add_argument("--topic", help="links of this topic of their route, such as experience:old-mill")
    parser.add_argument("--address", metavar="IP", help="links from this address")
    parser.add_argument("--node", help="links of this node: its id, or HOST:PID")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The ids of live links, and of how many users they are."""

    connection_ids: list[str]
    users: int
    found_by: str

    def __str__(self) -> str:
        return f"{counted(len(self.connection_ids), 'live link')} of {counted(self.users, 'user')}"


def given(options: Mapping[str, Any]) -> dict[str, str]:
    """The filters that were given, by their options' names."""
    return {name: options[name] for name in FILTERS if options[name] is not None}


def chosen(filters: Mapping[str, str]) -> Chosen:
    """The live links that fit.

    Raises:
        Misused: a filter is empty, the address is none, or there is no such route.
        CommandError: no link fits, or more than MOST_CHOSEN.
        django.db.Error: the database is away.
    """
    wanted = {FILTERS[name]: _value(name, text) for name, text in filters.items()}
    rows = Connection.objects.filter(closed_at=None, **wanted).order_by("pk")
    found = list(rows.values_list("pk", "user_id")[: MOST_CHOSEN + 1])
    found_by = "&".join(f"{name}={text}" for name, text in filters.items())
    if not found:
        check_route(filters.get("route"))
        raise CommandError(f"nobody is connected with {found_by}")
    if len(found) > MOST_CHOSEN:
        raise CommandError(f"more than {MOST_CHOSEN:,} links have {found_by}: choose fewer, or --all")
    users = {user_id for _, user_id in found} - {""}
    return Chosen([link for link, _ in found], len(users), found_by)


def _value(name: str, text: str) -> str:
    if not text.strip():
        raise Misused(f"--{name} is empty")
    if name == "node":
        return str(running_node(text).pk)
    if name == "address":
        address = parse_address(text)
        if address is None:
            raise Misused(f"--address is one IP address, got {text!r}")
        return str(address)
    return text
