"""manage.py connections: who is connected, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.utils import timezone

from proxy.core.human import duration, size
from proxy.models import Connection, Node
from proxy.tables.executor import away, bound_waits

HEADINGS = [
    *("ID", "USER", "EMAIL", "ROUTE", "PATH", "TOPIC", "NODE", "ADDRESS"),
    *("AGE", "IDLE", "FROM CLIENT", "TO CLIENT", "CLOSED"),
]


class Command(BaseCommand):
    help = "Lists live connections, newest first."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", metavar="ID", help="only this user id's")
        parser.add_argument("--route", help="only this route's")
        parser.add_argument("--all", action="store_true", help="closed ones too, after the live ones")
        parser.add_argument("--limit", type=int, default=1000, help="at most so many (default 1000)")
        parser.add_argument("--json", action="store_true", help="one JSON array of objects with every field")

    def handle(self, *args: Any, **options: Any) -> None:
        bound_waits()
        try:
            self._list(options)
        except Error as error:
            raise CommandError(away(error)) from error

    def _list(self, options: Mapping[str, Any]) -> None:
        found = Connection.objects.all() if options["all"] else Connection.objects.filter(closed_at=None)
        for field, value in (("user_id", options["user"]), ("route", options["route"])):
            found = found.filter(**{field: value}) if value is not None else found
        connections = found[: max(0, options["limit"])]
        if options["json"]:
            self.stdout.write(json.dumps(list(connections.values()), cls=DjangoJSONEncoder, indent=1))
            return
        nodes = Node.objects.in_bulk({connection.node_id for connection in connections})
        now = timezone.now()
        rows = [_row(connection, nodes=nodes, now=now) for connection in connections]
        self.stdout.write(_table([HEADINGS, *rows]) if rows else "no connections")


def _row(connection: Connection, *, nodes: Mapping[str, Node], now: datetime) -> list[str]:
    ended_at = connection.closed_at or now
    last_at = connection.last_activity_at or connection.opened_at
    return [
        connection.pk,
        connection.user_id,
        connection.email,
        connection.route,
        connection.path,
        connection.topic,
        str(nodes.get(connection.node_id, connection.node_id)),
        connection.client_address or "",
        duration((ended_at - connection.opened_at).total_seconds()),
        duration((ended_at - last_at).total_seconds()),
        f"{connection.messages_in} ({size(connection.bytes_in)})",
        f"{connection.messages_out} ({size(connection.bytes_out)})",
        f"{connection.close_code or '-'} by {connection.closed_by}" if connection.closed_at else "",
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; what clients chose is shown without control characters."""
    shown = [["".join(c for c in cell if c.isprintable()) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown)
    return "\n".join(line.rstrip() for line in lines)
