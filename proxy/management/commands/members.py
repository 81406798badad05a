"""`manage.py members`: the pools and their members, as settings, staff and nodes have them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from proxy.core.human import duration
from proxy.core.text_tables import table
from proxy.management.staff_command import CommandAnswer, StaffCommand
from proxy.tables.known import check_pool
from proxy.tables.pools_overview import MemberView, PoolView, pool_views

HEADINGS = ["POOL", "MEMBER", "STATE", "SINCE", "LINKS", "WEIGHT", "MOST", "DIAL", "FROM", "LAST ERROR"]

# They are of settings or of staff, who need them to drain one; and what failed is told to nobody else.
_WHOLE = ("POOL", "MEMBER", "LAST ERROR")


class Command(StaffCommand):
    help = "Lists the members of pools: health, since when, links, as nodes tell it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--pool", help="only this pool's")

    def answer(self, *, pool: str | None, **options: Any) -> CommandAnswer:
        check_pool(pool)
        told = [
            _told(view, member)
            for view in pool_views()
            for member in view.members
            if pool is None or view.name == pool
        ]
        rows = [_row(each) for each in told]
        return CommandAnswer(told, table(HEADINGS, rows, whole=_WHOLE) if rows else ["no members"])


def _told(pool: PoolView, member: MemberView) -> dict[str, Any]:
    return {
        "pool": pool.name,
        "url": member.url,
        "state": member.state,
        "since": _since(member),
        "links": member.links,
        "weight": member.weight,
        "max_connections": member.max_connections,
        "draining": member.draining,
        "removed": member.removed,
        "from": "settings" if member.row_id is None else "admin",
        "dial_ms": member.dial_ms,
        "last_error": member.last_error,
        "nodes": [
            {
                "node": str(report.node),
                "state": report.state,
                "since": report.since,
                "links": report.links,
                "dial_ms": report.dial_ms,
                "last_error": report.last_error,
                "updated_at": report.updated_at,
            }
            for report in member.reports
        ],
    }


def _since(member: MemberView) -> datetime | None:
    """Since when the first of the nodes that see it so does; None where no node says."""
    so = (report.since for report in member.reports if report.state == member.state)
    return min((since for since in so if since is not None), default=None)


def _row(told: dict[str, Any]) -> list[str]:
    since = told["since"]
    return [
        told["pool"],
        told["url"],
        told["state"],
        "" if since is None else f"{duration((timezone.now() - since).total_seconds())} ago",
        str(told["links"]),
        str(told["weight"]),
        str(told["max_connections"] or ""),
        "" if told["dial_ms"] is None else f"{told['dial_ms']:.1f} ms",
        told["from"],
        told["last_error"],
    ]
