"""`manage.py message`: say something to those who are connected, where their clients show it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from proxy.cluster.questions import LayerAway
from proxy.cluster.staff_messages import tell
from proxy.core.human import counted
from proxy.core.staff_messages import MAX_CHARS, staff_message
from proxy.management.choosing import add_filters, chosen, given
from proxy.management.staff_command import CommandAnswer, DeedCommand, Misused
from proxy.models import Connection
from proxy.tables.deeds import a_shell


class Command(DeedCommand):
    help = "Says something to a user, a link, all of a route, or everyone, once. Asks first, with how many."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("text", help=f"plain text of at most {MAX_CHARS} characters")
        parser.add_argument("--connection", metavar="ID", help="this one link")
        add_filters(parser)
        parser.add_argument("--all", action="store_true", help="everyone who is connected")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def answer(self, *, text: str, reason: str, **options: Any) -> CommandAnswer:
        if not settings.REDIS_URL:
            raise CommandError("REDIS_URL is not set: without Redis, no other process can be reached")
        try:
            staff_message(text)
        except ValueError as error:
            raise Misused(str(error)) from None
        whom = self._whom(options)
        try:
            told = tell(text, reason=reason, by=a_shell(), **whom)
        except LayerAway as error:
            raise CommandError(f"some may not have been told: {error}") from error
        silent = f"; no word yet from {counted(told.silent, 'node')}" if told.silent else ""
        words = f"sent to {counted(told.links, 'connection')}{silent}"
        return CommandAnswer({"links": told.links, "silent": told.silent}, [words])

    def _whom(self, options: dict[str, Any]) -> dict[str, Any]:
        """For `tell`, once somebody has said yes. Raises CommandError where nobody is connected."""
        filters, link, yes = given(options), options["connection"], options["yes"]
        if (link is not None) + options["all"] + bool(filters) != 1:
            raise Misused("name one link (--connection), whom filters find (--user, --route …), or --all")
        if options["all"]:
            links = Connection.objects.filter(closed_at=None).count()
            self.confirm(f"This goes to everyone: {counted(links, 'live link')}.", yes=yes)
            return {"everyone": True}
        if link is not None:
            if not Connection.objects.filter(pk=link, closed_at=None).exists():
                raise CommandError("no node has such a link")
            self.confirm("This goes to one live link.", yes=yes)
            return {"connection_ids": [link]}
        found = chosen(filters)
        self.confirm(f"This goes to {found}.", yes=yes)
        if filters.keys() == {"user"}:  # also to a link that opens meanwhile
            return {"user_ids": [filters["user"]]}
        return found.whom()
