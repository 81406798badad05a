"""`manage.py enable_experience`: let clients into an experience again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from experience.management.telling import told
from experience.models import Experience
from experience.switching import enable, topics
from proxy.api import CommandAnswer, DeedCommand, LiveLinks, a_shell


class Command(DeedCommand):
    help = "Opens an experience again that was closed for maintenance, on every node within two seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", help="as clients ask for it")

    def answer(self, *, slug: str, reason: str, **options: Any) -> CommandAnswer:
        row = Experience.objects.filter(slug=slug).first()
        if row is None:
            raise CommandError(f"nobody says anything of {slug!r}: it is open")
        if row.enabled:
            raise CommandError(f"{slug!r} is open")
        enable([row], reason=reason, by=a_shell())
        return CommandAnswer(told(row, LiveLinks(topics([row]))), [f"{slug} is open"])
