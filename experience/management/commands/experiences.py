"""`manage.py experiences`: what staff say of experiences, and how many are connected to each."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from experience.management.telling import told
from experience.models import Experience
from experience.switching import topics
from proxy.api import CommandAnswer, LiveLinks, StaffCommand, as_table

HEADINGS = ["SLUG", "STATE", "LINKS", "CAPACITY", "CLIENTS ARE TOLD", "TITLE"]
MOST_ROWS = 1_000


class Command(StaffCommand):
    help = "Lists the experiences of which staff say something, by slug. All others are open."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--closed", action="store_true", help="only those that are closed")

    def answer(self, *, closed: bool, **options: Any) -> CommandAnswer:
        wanted = Experience.objects.filter(enabled=False) if closed else Experience.objects.all()
        rows = list(wanted.order_by("slug")[: MOST_ROWS + 1])
        if len(rows) > MOST_ROWS:
            self.remark(f"there are more; these are the first {MOST_ROWS:,}")
        rows = rows[:MOST_ROWS]
        live = LiveLinks(topics(rows))
        lines = as_table(HEADINGS, [_row(row, live) for row in rows])
        return CommandAnswer([told(row, live) for row in rows], lines if rows else [_nothing(closed=closed)])


def _row(row: Experience, live: LiveLinks) -> list[str]:
    return [
        row.slug,
        "open" if row.enabled else "closed, links end" if row.ends_links else "closed",
        live.of(topics([row])[0]),
        "any" if row.capacity is None else f"{row.capacity:,}",
        row.maintenance_message,
        row.title,
    ]


def _nothing(*, closed: bool) -> str:
    return "none is closed" if closed else "staff say nothing of any: all are open to as many as come"
