"""manage.py prune_connections: forget now what nodes forget by themselves, hour by hour."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from proxy.tables.retention import forget, in_words


class Command(BaseCommand):
    help = (
        "Deletes connections that closed more than N days ago, nodes without any, kicks of more than a day "
        "ago, and sessions that are over."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        kept = settings.RECORD_RETENTION_DAYS
        parser.add_argument(
            "--days",
            type=float,
            default=kept or None,
            required=not kept,
            help="how long closed connections are kept (default RECORD_RETENTION_DAYS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 0:
            raise CommandError("--days must be 0 or more")
        self.stdout.write(in_words(forget(options["days"])))
