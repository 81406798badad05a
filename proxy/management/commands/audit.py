"""`manage.py audit`: what was done by hand: by staff in admin, by programs, from a shell."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.management.base import CommandParser
from django.utils import timezone

from proxy.core.text_tables import table
from proxy.management.staff_command import CommandAnswer, StaffCommand
from proxy.management.times import count, since
from proxy.models import Deed
from proxy.tables.audit import Asked, page
from proxy.tables.known import kind_called

HEADINGS = ["WHEN", "WHO", "KIND", "WHAT", "DID"]
_DONE = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}
_MOST_COLUMNS = 100


class Command(StaffCommand):
    help = "Lists what was done by hand, by staff and by programs, the last first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--since", type=since, metavar="TIME", help="15m, 24h, 7d, or a time")
        parser.add_argument("--who", default="", help="only by this user, key or shell, as the list names it")
        parser.add_argument("--kind", default="", help="only to this kind of row, such as proxy.block")
        parser.add_argument("--text", default="", help="only with these words in what was done, or to what")
        parser.add_argument("--limit", type=count, default=100, help="at most so many (default 100)")

    def answer(
        self, *, since: datetime | None, who: str, kind: str, text: str, limit: int, **options: Any
    ) -> CommandAnswer:
        kind = kind and kind_called(kind)
        found = page(Asked(who=who, kind=kind, since=since, text=text), most=limit)
        if found.older is not None:
            self.remark(f"there are more; these are the last {limit}")
        told = [_told(deed) for deed in found.entries]
        rows = [_row(each) for each in told]
        lines = (
            table(HEADINGS, rows, most_columns=_MOST_COLUMNS, whole=("DID",))
            if rows
            else ["nothing was done"]
        )
        return CommandAnswer(told, lines)


def _told(deed: Deed) -> dict[str, Any]:
    return {
        "id": deed.pk,
        "at": deed.action_time,
        "who": deed.user.get_username(),
        "by_program": deed.is_of_program,
        "kind": deed.kind,
        "object_id": deed.object_id or "",
        "about": deed.object_repr,
        "done": _DONE.get(deed.action_flag, ""),
        "said": deed.get_change_message(),
        "count": deed.count,
        "reason": deed.reason,
        "found_by": deed.found_by,
    }


def _row(told: dict[str, Any]) -> list[str]:
    return [
        f"{timezone.localtime(told['at']):%Y-%m-%d %H:%M:%S}",
        told["who"],
        told["kind"],
        told["about"],
        told["said"] or told["done"],
    ]
