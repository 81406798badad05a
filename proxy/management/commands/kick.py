"""manage.py kick: end links from a shell, on any node that shares the channel layer."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from proxy.kicks import KickNotSent, kick, reaches_other_processes


class Command(BaseCommand):
    help = "Ends a user's links, one link, or all, with close code 4001. Prints how many live links that are."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--user", metavar="ID", help="every link of this user id")
        whom.add_argument("--connection", metavar="ID", help="this one link")
        whom.add_argument("--all", action="store_true", help="every link of every node")
        parser.add_argument("--reason", default="", help="what the client is told, at most 123 bytes")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 0 when at least one live link was told to end, else 1."""
        if not reaches_other_processes():
            raise CommandError("REDIS_URL is not set: no other process can be reached from here")
        try:
            kicked = kick(
                user_ids=[options["user"]] if options["user"] is not None else [],
                connection_ids=[options["connection"]] if options["connection"] is not None else [],
                everyone=options["all"],
                reason=options["reason"],
            )
        except (ValueError, KickNotSent) as error:
            raise CommandError(str(error)) from error
        if not kicked:
            raise CommandError(
                "the record knows no such live link; one just opened was told to end all the same"
            )
        self.stdout.write(f"{kicked} {'link' if kicked == 1 else 'links'} kicked")
