"""`manage.py change_experience`: what staff say of an experience, but for whether it is open."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from experience.management.telling import as_misuse, told
from experience.switching import change, topics
from proxy.api import MOST_CAPACITY, CommandAnswer, DeedCommand, LiveLinks, Misused, a_shell

ANY = "any"


class Command(DeedCommand):
    help = "Says how many may be in an experience at a time, over all nodes, and what it is called."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", help="as clients ask for it; it need have no row yet")
        parser.add_argument(
            "--capacity", type=_capacity, metavar="N", help=f"so many connections at most, or {ANY}"
        )
        parser.add_argument("--message", metavar="TEXT", help="what clients are told while it is closed")
        parser.add_argument("--title", metavar="TEXT", help="for staff")

    def answer(self, *, slug: str, reason: str, **options: Any) -> CommandAnswer:
        columns = {"capacity": "capacity", "message": "maintenance_message", "title": "title"}
        said = {columns[name]: options[name] for name in columns if options[name] is not None}
        if not said:
            raise Misused("say what is to change: --capacity, --message or --title")
        if said.get("capacity") == ANY:
            said["capacity"] = None
        with as_misuse():
            row = change(slug, said, reason=reason, by=a_shell())
        room = "any number" if row.capacity is None else f"{row.capacity:,}"
        live = LiveLinks(topics([row]))
        return CommandAnswer(told(row, live), [f"{slug} has room for {room}, and {live.in_words()}"])


def _capacity(text: str) -> int | str:
    if text == ANY:
        return ANY
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST_CAPACITY:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MOST_CAPACITY:,}, or {ANY}; got {text!r}")
    return number
