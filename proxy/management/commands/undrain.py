"""`manage.py undrain`: bring a member back that was drained."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from proxy.management.member_draining import do_to_member
from proxy.management.staff_command import CommandAnswer, DeedCommand
from proxy.tables.member_draining import Drain


class Command(DeedCommand):
    help = "Brings a drained member of a pool back: it gets new links again. (A drained node starts anew.)"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("member", help="its URL, as `members` shows it")
        parser.add_argument("--pool", help="its pool, where several have it")

    def answer(self, *, member: str, pool: str | None, reason: str, **options: Any) -> CommandAnswer:
        return do_to_member(Drain.UNDRAIN, member, pool=pool, reason=reason)
