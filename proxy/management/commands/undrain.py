"""`manage.py undrain`: bring a member back that was drained."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from proxy.core.text_tables import plain
from proxy.management.member_draining import member_of, set_member
from proxy.management.staff_command import Answer, Deed


class Command(Deed):
    help = "Brings a drained member of a pool back: it gets new links again. (A drained node starts anew.)"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("member", help="its URL, as `members` shows it")
        parser.add_argument("--pool", help="its pool, where several have it")

    def answer(self, *, member: str, pool: str | None, reason: str, **options: Any) -> Answer:
        found = member_of(member, pool=pool)
        told = set_member(found, draining=False, reason=reason)
        return Answer(told, [plain(f"brought back {found}", 300)])
