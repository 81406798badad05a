"""The nodes that run, and those that were lost lately, for whoever asks how the gateway is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from proxy.models import Connection, Node
from proxy.tables.heart import LOST_AFTER_SECONDS

# A node that was lost is told of for so long: by then its supervisor has started another, or somebody knows.
TOLD_MINUTES = 15
MOST_NODES = 200
_DOWN = "gateway-down"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One gateway process: running, draining or gone."""

    id: str
    name: str
    state: str
    links: int
    started_at: datetime
    heartbeat_at: datetime

    @property
    def is_gone(self) -> bool:
        return self.state == "gone"

    @property
    def css_class(self) -> str:
        return {"running": "gateway-live", "gone": _DOWN}.get(self.state, "gateway-late")


def node_views() -> list[NodeView]:
    """Those that run, and those that were lost lately; not those that were stopped. One query."""
    lately = Node.objects.filter(heartbeat_at__gte=Now() - timedelta(minutes=TOLD_MINUTES))
    rows = with_links(lately).annotate(now=Now()).order_by("-heartbeat_at")[:MOST_NODES]
    views = (_view(row) for row in rows)
    return sorted((view for view in views if view is not None), key=lambda view: (view.is_gone, view.name))


def state_of(node: Node, *, now: datetime) -> str:
    """As lists of nodes say it: one that should stop, and has not heard of it, was told to drain."""
    if node.stopped_at is not None:
        return "stopped"
    if (now - node.heartbeat_at).total_seconds() > LOST_AFTER_SECONDS:
        return "silent"
    if node.told_to_drain_at is not None and not node.draining:
        return "told to drain"
    return "draining" if node.draining else "running"


def with_links(nodes: QuerySet[Node]) -> QuerySet[Any]:
    """The nodes, each with its live `links`, in the same query."""
    live = Connection.objects.filter(closed_at=None, node=OuterRef("pk")).order_by().values("node")
    links = Subquery(live.annotate(links=Count("*")).values("links"), output_field=IntegerField())
    return nodes.annotate(links=Coalesce(links, 0))


def has_gone(node: Node, *, now: datetime) -> bool:
    """Whether it fell silent. Who stops in order says so with its last beat; who is lost beat long before."""
    silent_seconds = ((node.stopped_at or now) - node.heartbeat_at).total_seconds()
    return silent_seconds > LOST_AFTER_SECONDS


def _view(row: Any) -> NodeView | None:
    """All times are the database's. None: it was stopped, and is nobody's trouble."""
    is_gone = has_gone(row, now=row.now)
    if row.stopped_at is not None and not is_gone:
        return None
    return NodeView(
        id=row.pk,
        name=str(row),
        state="gone" if is_gone else "draining" if row.draining else "running",
        links=row.links,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
    )
