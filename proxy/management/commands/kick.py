"""manage.py kick: end links from a shell, on any node that shares the channel layer or the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from proxy.cluster.kicks import KickNotSent, kick
from proxy.management.staff_command import Answer, Misused, StaffCommand


class Command(StaffCommand):
    help = "Ends a user's links, one link, or all, with close code 4001. Prints how many links ended."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--user", metavar="ID", help="every link of this user id")
        whom.add_argument("--connection", metavar="ID", help="this one link")
        whom.add_argument("--all", action="store_true", help="every link of every node")
        parser.add_argument("--reason", default="", help="what the client is told, at most 123 bytes")

    def answer(self, **options: Any) -> Answer:
        """Exit code 0 unless no link ended and every node has said so, or nobody could be told."""
        try:
            kicked = kick(
                user_ids=[options["user"]] if options["user"] is not None else [],
                connection_ids=[options["connection"]] if options["connection"] is not None else [],
                everyone=options["all"],
                reason=options["reason"],
            )
        except ValueError as error:
            raise Misused(str(error)) from error
        except KickNotSent as error:
            raise CommandError(str(error)) from error
        if kicked.ended == 0 and not kicked.silent:
            raise CommandError("no node has such a link")
        return Answer({"ended": kicked.ended, "silent": kicked.silent}, [str(kicked)])
