"""`manage.py disable_experience`: let nobody into an experience."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from experience.management.telling import as_misuse, told
from experience.models import Experience
from experience.switching import close, topics
from proxy.api import CommandAnswer, DeedCommand, LiveLinks, a_shell


class Command(DeedCommand):
    help = "Closes an experience for maintenance on every node: clients get 503. Asks before it ends links."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", help="as clients ask for it; it need have no row yet")
        parser.add_argument("--message", metavar="TEXT", help="what clients are told from now on")
        parser.add_argument("--close-links", action="store_true", help="end live links, too, with 1001")
        parser.add_argument("--yes", action="store_true", help="do not ask, where it ends links")

    def answer(self, *, slug: str, message: str | None, reason: str, **options: Any) -> CommandAnswer:
        live, ends = LiveLinks(topics([Experience(slug=slug)])), options["close_links"]
        if ends and live.total.links:
            self.confirm(f"This closes {slug}, and ends {live.in_words()}.", yes=options["yes"])
        with as_misuse():
            row = close(slug, message=message, ends_links=ends, reason=reason, by=a_shell())
        links = f"live links {'end' if ends else 'stay'} ({live.in_words()})"
        return CommandAnswer(told(row, live), [f"{slug} is closed; {links}"])
