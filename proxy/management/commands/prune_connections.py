"""manage.py prune_connections: forget now what nodes forget by themselves, hour by hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.admin.models import DELETION
from django.core.management.base import CommandParser

from proxy.management.staff_command import CommandAnswer, DeedCommand
from proxy.management.times import days as days_of
from proxy.models import Connection
from proxy.tables.deeds import Details, a_shell, note_deed
from proxy.tables.retention import WHEN_OVER, forget, in_words


class Command(DeedCommand):
    needs_reason = False
    reason_help = "why, for the audit"
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
            type=days_of,
            default=kept or None,
            required=not kept,
            help="how long closed connections are kept (default RECORD_RETENTION_DAYS)",
        )

    def answer(self, *, days: float, reason: str, **options: Any) -> CommandAnswer:
        forgotten = forget(days)
        said = f"Forgot {_found(forgotten, days)}. {reason}".strip()
        details = Details(count=sum(forgotten.values()), reason=reason, flag=DELETION)
        note_deed(a_shell(), Connection, said, about=f"older than {days:g} days", details=details)
        return CommandAnswer({"days": days, "deleted": forgotten}, [in_words(forgotten)])


def _found(forgotten: Mapping[str, int], days: float) -> str:
    some = {name: rows for name, rows in forgotten.items() if rows}
    old = {name: rows for name, rows in some.items() if name not in WHEN_OVER}
    over = {name: rows for name, rows in some.items() if name in WHEN_OVER}
    told = f"what is older than {days:g} days: {in_words(old) if old else 'nothing was deleted'}"
    return f"{told}; and what is over: {in_words(over)}" if over else told
