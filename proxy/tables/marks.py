"""What happened, as marks on the charts of the Live page: nodes that came and went, drains, mass kicks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import CHANGE
from django.db.models import Sum
from django.db.models.functions import Coalesce

from proxy.core.human import counted, one_line
from proxy.models import Kick, Node
from proxy.tables.audit import Asked, page
from proxy.tables.node_views import MOST_NODES, has_gone

MOST_MARKS = 50
# So many links that end by one kick show on a chart.
MASS = 10


@dataclass(frozen=True, slots=True)
class Mark:
    """`kind` is one of node, drain and kick; `at` Unix seconds."""

    at: int
    kind: str
    words: str

    def told(self) -> dict[str, Any]:
        """For a page."""
        return asdict(self)


def marks_since(since: datetime, *, may: Callable[[str], bool]) -> list[Mark]:
    """The newest few of each kind, by time; of nodes and members for who may see these. Six queries."""
    found = list(_kicks(since))
    if may("proxy.view_node"):
        found += _nodes(since)
    if may("proxy.view_poolmember"):
        found += _drains(since)
    return sorted(found, key=lambda mark: mark.at)


def _nodes(since: datetime) -> Iterator[Mark]:
    beat_since = Node.objects.filter(heartbeat_at__gte=since).order_by("-heartbeat_at")
    for node in beat_since[:MOST_NODES]:
        if node.started_at >= since:
            yield _mark(node.started_at, "node", f"node {node} started")
        if node.stopped_at is not None and node.stopped_at >= since:
            how = "was lost" if has_gone(node, now=node.stopped_at) else "stopped"
            yield _mark(node.heartbeat_at, "node", f"node {node} {how}")


def _drains(since: datetime) -> Iterator[Mark]:
    """The audit has each that is begun and ended; the form of a member changes none."""
    newest = page(Asked(kind="proxy.poolmember", flag=CHANGE, since=since), most=MOST_MARKS).entries
    for entry in reversed(newest):  # so that those of one second stay in their order
        said = entry.get_change_message()
        if said.startswith(("Draining ", "Brought back ")):
            yield _mark(entry.action_time, "drain", f"{one_line(said)} ({entry.user})")


def _kicks(since: datetime) -> Iterator[Mark]:
    """Of the last day: they are forgotten then."""
    rows = Kick.objects.filter(created_at__gte=since).annotate(links=Coalesce(Sum("reports__links"), 0))
    for row in rows.order_by("-created_at")[:MOST_MARKS]:
        if row.everyone or row.links >= MASS:
            whom = "everybody" if row.everyone else counted(row.links, "link")
            yield _mark(row.created_at, "kick", f"{whom} kicked: {one_line(row.reason)}")


def _mark(at: datetime, kind: str, words: str) -> Mark:
    return Mark(int(at.timestamp()), kind, words)
