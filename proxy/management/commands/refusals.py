"""`manage.py refusals`: who was turned away, when and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from proxy.core.addresses import parse_address
from proxy.core.causes import REFUSED
from proxy.core.text_tables import plain, table
from proxy.management.staff_command import CommandAnswer, Misused, StaffCommand
from proxy.management.times import count, since
from proxy.management.told import told_refusal
from proxy.models import Refusal
from proxy.tables.known import check_route, check_word

HEADINGS = [
    "WHEN",
    "TIMES",
    "STATUS",
    "CAUSE",
    "REASON",
    "USER",
    "ROUTE",
    "ADDRESS",
    "USER AGENT",
    "REQUEST ID",
]
_NOBODY = "nobody was turned away"
_FILTERS = {"user": "user_id", "address": "client_address", "cause": "cause", "route": "route"}


class Command(StaffCommand):
    help = "Lists who was turned away, the last first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--since", type=since, metavar="TIME", help="15m, 24h, 7d, or a time")
        parser.add_argument("--user", metavar="ID", help="only this user id's")
        parser.add_argument("--address", metavar="IP", help="only those of this address")
        parser.add_argument("--cause", help="only of this cause, such as token_expired")
        parser.add_argument("--route", help="only this route's")
        parser.add_argument("--reason", metavar="TEXT", help="only with this in the reason")
        parser.add_argument("--limit", type=count, default=100, help="at most so many (default 100)")

    def answer(self, *, limit: int, **options: Any) -> CommandAnswer:
        found = Refusal.objects.filter(**_wanted(**options))
        rows = list(found[: limit + 1])
        if not rows:
            check_word("cause", options["cause"], REFUSED, record=Refusal)
            check_route(options["route"], record=Refusal)
        if len(rows) > limit:
            self.remark(f"there are more; these are the last {limit}")
        told = [told_refusal(row) for row in rows[:limit]]
        lines = table(HEADINGS, map(_row, told), whole=("REASON",)) if told else [_NOBODY]
        return CommandAnswer(told, lines)


def _wanted(*, since: datetime | None, reason: str | None, **options: Any) -> dict[str, Any]:
    """Raises Misused for an address that is none."""
    address = options["address"]
    if address is not None:
        parsed = parse_address(address)
        if parsed is None:
            raise Misused(f"--address is one IP address, got {address!r}")
        options["address"] = str(parsed)
    wanted = {field: options[name] for name, field in _FILTERS.items()}
    wanted |= {"refused_at__gte": since, "reason__icontains": reason}
    return {field: value for field, value in wanted.items() if value is not None}


def _row(told: dict[str, Any]) -> list[str]:
    return [
        f"{timezone.localtime(told['refused_at']):%Y-%m-%d %H:%M:%S}",
        str(told["times"]),
        str(told["status"] or ""),
        told["cause"],
        plain(told["reason"]) or told["words"],
        told["user_id"],
        told["route"],
        told["client_address"] or "",
        told["user_agent"],
        told["request_id"],
    ]
