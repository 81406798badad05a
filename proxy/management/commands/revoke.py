"""`manage.py revoke`: take tokens back, from a shell."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from proxy.cluster.revocations import revoke
from proxy.core.text_tables import plain
from proxy.management.staff_command import CommandAnswer, Misused, StaffCommand
from proxy.management.times import moment


class Command(StaffCommand):
    help = (
        "Takes tokens back: their links end with 4011 on every node, and they are refused until they expire."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--user", metavar="ID", default="", help="all tokens of this user id")
        parser.add_argument("--jti", metavar="ID", default="", help="one token, by its id")
        parser.add_argument(
            "--issued-before",
            metavar="TIME",
            type=moment,
            help="those issued before that: of the user, or without one of everybody (default: now)",
        )
        parser.add_argument("--reason", default="", help="for staff and the log")

    def answer(self, **options: Any) -> CommandAnswer:
        named = {name: options[name] for name in ("user", "jti", "issued_before", "reason")}
        try:
            row = revoke(**named)
        except ValueError as error:
            raise Misused(str(error)) from error
        words = f"Revoked: {row}. Remembered until {row.until:%Y-%m-%d %H:%M} UTC."
        return CommandAnswer(row.named() | {"until": row.until}, [plain(words, 1_000)])
