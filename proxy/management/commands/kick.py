"""manage.py kick: end links from a shell, on any node that shares the channel layer or the database."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from proxy.cluster.kicks import KickNotSent, kick
from proxy.tables.executor import bound_waits


class Command(BaseCommand):
    help = "Ends a user's links, one link, or all, with close code 4001. Prints how many links ended."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--user", metavar="ID", help="every link of this user id")
        whom.add_argument("--connection", metavar="ID", help="this one link")
        whom.add_argument("--all", action="store_true", help="every link of every node")
        parser.add_argument("--reason", default="", help="what the client is told, at most 123 bytes")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 0 unless no link ended and every node has said so, or nobody could be told."""
        bound_waits()
        try:
            kicked = kick(
                user_ids=[options["user"]] if options["user"] is not None else [],
                connection_ids=[options["connection"]] if options["connection"] is not None else [],
                everyone=options["all"],
                reason=options["reason"],
            )
        except (ValueError, KickNotSent) as error:
            raise CommandError(str(error)) from error
        if kicked.ended == 0 and not kicked.silent:
            raise CommandError("no node has such a link")
        self.stdout.write(str(kicked))
