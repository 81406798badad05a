"""manage.py prune_connections: forget connections that closed long ago, and nodes that nothing speaks of."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Exists, OuterRef
from django.utils import timezone

from proxy.models import Connection, Node

ROWS_AT_ONCE = 5_000


class Command(BaseCommand):
    help = "Deletes connections closed more than N days ago, in small batches, and stopped nodes without any."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--days", type=float, required=True, help="how long closed connections are kept")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 0:
            raise CommandError("--days must be 0 or more")
        before = timezone.now() - timedelta(days=options["days"])
        deleted = 0
        while batch := _delete_batch(Connection.objects.filter(closed_at__lt=before)):
            deleted += batch
        held = Connection.objects.filter(node=OuterRef("pk"))
        nodes, _ = Node.objects.filter(~Exists(held), stopped_at__lt=before).delete()
        self.stdout.write(f"{deleted} connections and {nodes} nodes deleted")


def _delete_batch(old: Any) -> int:
    """Short transactions: the nodes go on writing meanwhile."""
    ids = list(old.order_by().values_list("pk", flat=True)[:ROWS_AT_ONCE])
    return int(Connection.objects.filter(pk__in=ids).delete()[0])
