"""manage.py connections: who is connected, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from proxy.core.human import duration, size
from proxy.core.text_tables import table
from proxy.management.staff_command import CommandAnswer, StaffCommand
from proxy.management.times import count
from proxy.management.told import told_connection
from proxy.models import Connection, Node
from proxy.tables.known import check_route

HEADINGS = [
    *("ID", "USER", "EMAIL", "ROUTE", "PATH", "TOPIC", "NODE", "ADDRESS"),
    *("AGE", "IDLE", "FROM CLIENT", "TO CLIENT", "CLOSED"),
]


class Command(StaffCommand):
    help = "Lists live connections, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--user", metavar="ID", help="only this user id's")
        parser.add_argument("--route", help="only this route's")
        parser.add_argument("--all", action="store_true", help="closed ones too, after the live ones")
        parser.add_argument("--limit", type=count, default=1000, help="at most so many (default 1000)")

    def answer(self, **options: Any) -> CommandAnswer:
        found = Connection.objects.all() if options["all"] else Connection.objects.filter(closed_at=None)
        for field, value in (("user_id", options["user"]), ("route", options["route"])):
            found = found.filter(**{field: value}) if value is not None else found
        limit = options["limit"]
        connections = list(found[: limit + 1])
        if not connections:
            check_route(options["route"], record=Connection)
        if len(connections) > limit:
            self.remark(f"there are more; these are the newest {limit}")
        connections = connections[:limit]
        nodes = Node.objects.in_bulk({connection.node_id for connection in connections})
        now = timezone.now()
        rows = [_row(connection, nodes=nodes, now=now) for connection in connections]
        lines = table(HEADINGS, rows, whole=("NODE",)) if rows else ["no connections"]
        return CommandAnswer(list(map(told_connection, connections)), lines)


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
