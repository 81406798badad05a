"""The options by which kicks and messages find live links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from proxy.management.staff_command import Misused
from proxy.tables import choosing
from proxy.tables.choosing import FILTERS, Chosen, TooManyLinks, WrongFilter


def add_filters(parser: CommandParser) -> None:
    """Those that are given have all to fit."""
    parser.add_argument("--user", metavar="ID", help="links of this user id")
    parser.add_argument("--route", help="links on this route")
    parser.add_argument("--topic", help="links of this topic of their route, such as experience:old-mill")
    parser.add_argument("--address", metavar="IP", help="links from this address")
    parser.add_argument("--node", help="links of this node: its id, or HOST:PID")


def given(options: Mapping[str, Any]) -> dict[str, str]:
    """The filters that were given, by their options' names."""
    return {name: options[name] for name in FILTERS if options[name] is not None}


def chosen(filters: Mapping[str, str]) -> Chosen:
    """The live links that fit.

    Raises:
        Misused: what is given for a filter is none.
        CommandError: no link fits, or too many.
        UnknownWord, django.db.Error: as `proxy.tables.choosing.chosen`.
    """
    try:
        found = choosing.chosen(filters)
    except WrongFilter as error:
        raise Misused(f"--{error.name} {error}") from None
    except TooManyLinks as error:
        raise CommandError(str(error)) from None
    if not found.connection_ids:
        raise CommandError(f"nobody is connected with {found.found_by}")
    return found
