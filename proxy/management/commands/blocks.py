"""`manage.py blocks`: who is kept out, since when, until when, why and by whom."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q
from django.utils import timezone

from proxy.core.text_tables import table
from proxy.management.staff_command import CommandAnswer, StaffCommand
from proxy.management.times import count
from proxy.management.told import told_block
from proxy.models import Block

HEADINGS = ["ID", "USER", "NETWORK", "UNTIL", "REASON", "SINCE", "BY"]


class Command(StaffCommand):
    help = "Lists the blocks that hold, the newest first. `block` places one, `unblock` lifts it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--user", metavar="ID", help="only those that name this user id")
        parser.add_argument("--all", action="store_true", help="those that are over, too")
        parser.add_argument("--limit", type=count, default=1000, help="at most so many (default 1000)")

    def answer(self, *, user: str | None, limit: int, **options: Any) -> CommandAnswer:
        found = Block.objects.select_related("created_by")
        if user is not None:
            found = found.filter(user_id=user)
        if not options["all"]:
            found = found.filter(Q(until=None) | Q(until__gt=timezone.now()))
        rows = list(found[: limit + 1])
        if len(rows) > limit:
            self.remark(f"there are more; these are the newest {limit}")
        told = [told_block(row) for row in rows[:limit]]
        lines = table(HEADINGS, [_row(each) for each in told]) if told else ["nobody is blocked"]
        return CommandAnswer(told, lines)


def _row(told: dict[str, Any]) -> list[str]:
    return [
        str(told["id"]),
        told["user_id"],
        told["network"],
        _until(told),
        told["reason"],
        f"{timezone.localtime(told['created_at']):%Y-%m-%d %H:%M}",
        told["by"],
    ]


def _until(told: dict[str, Any]) -> str:
    if told["until"] is None:
        return "for good"
    at = f"{timezone.localtime(told['until']):%Y-%m-%d %H:%M}"
    return at if told["holds"] else f"over since {at}"
