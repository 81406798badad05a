"""manage.py kick: end links from a shell, on any node that shares the channel layer or the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from proxy.cluster.kicks import KickNotSent, kick
from proxy.management.choosing import add_filters, chosen, given
from proxy.management.staff_command import CommandAnswer, DeedCommand, Misused


class Command(DeedCommand):
    help = "Ends links with close code 4001: a user's, one, those that filters find, or all. Prints how many."
    needs_reason = False  # but with filters
    reason_help = "what the client is told, at most 123 bytes, and the audit; filters need one"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--connection", metavar="ID", help="this one link")
        add_filters(parser)
        parser.add_argument("--all", action="store_true", help="every link of every node")
        parser.add_argument("--yes", action="store_true", help="do not ask, where filters find whom to kick")

    def answer(self, *, reason: str, **options: Any) -> CommandAnswer:
        """Exit code 0 unless no link ended and every node has said so, or nobody could be told."""
        try:
            kicked = kick(**self._whom(reason, options), reason=reason)
        except ValueError as error:
            raise Misused(str(error)) from error
        except KickNotSent as error:
            raise CommandError(str(error)) from error
        if kicked.ended == 0 and not kicked.silent:
            raise CommandError("no node has such a link")
        return CommandAnswer({"ended": kicked.ended, "silent": kicked.silent}, [str(kicked)])

    def _whom(self, reason: str, options: dict[str, Any]) -> dict[str, Any]:
        """For `kick`. A user, a link and everyone need no database, and are not asked for."""
        filters, link = given(options), options["connection"]
        if (link is not None) + options["all"] + bool(filters) != 1:
            raise Misused("name one link (--connection), whom filters find (--user, --route …), or --all")
        if link is not None:
            return {"connection_ids": [link]}
        if options["all"]:
            return {"everyone": True}
        if filters.keys() == {"user"}:
            return {"user_ids": [filters["user"]]}
        if not reason:
            raise Misused("--reason is empty: say why")
        found = chosen(filters)
        self.confirm(f"This ends {found}.", yes=options["yes"])
        return found.whom()
