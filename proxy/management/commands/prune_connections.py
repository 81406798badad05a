"""manage.py prune_connections: forget now what nodes forget by themselves, hour by hour."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from proxy.management.staff_command import Answer, Misused, StaffCommand
from proxy.tables.retention import forget, in_words


class Command(StaffCommand):
    has_bounded_waits = False  # it deletes what there is, however long that takes
    help = (
        "Deletes connections that closed more than N days ago, nodes without any, kicks of more than a day "
        "ago, and sessions that are over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        kept = settings.RECORD_RETENTION_DAYS
        parser.add_argument(
            "--days",
            type=float,
            default=kept or None,
            required=not kept,
            help="how long closed connections are kept (default RECORD_RETENTION_DAYS)",
        )

    def answer(self, *, days: float, **options: Any) -> Answer:
        if not days >= 0:  # nor for no number
            raise Misused("--days must be 0 or more")
        forgotten = forget(days)
        return Answer({"days": days, "deleted": forgotten}, [in_words(forgotten)])
