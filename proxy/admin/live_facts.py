"""What is known of nodes, pools and stores, for the verdict of the Live page and its cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from proxy.admin.live_figures import Seen
from proxy.admin.pools_overview import MemberView, PoolView
from proxy.core.verdict import Facts, PoolFacts
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
    live = Connection.objects.filter(closed_at=None, node=OuterRef("pk")).order_by().values("node")
    links = Subquery(live.annotate(links=Count("pk")).values("links"), output_field=IntegerField())
    lately = Node.objects.filter(heartbeat_at__gte=Now() - timedelta(minutes=TOLD_MINUTES))
    rows = lately.annotate(links=Coalesce(links, 0), now=Now()).order_by("-heartbeat_at")[:MOST_NODES]
    views = (_view(row) for row in rows)
    return sorted((view for view in views if view is not None), key=lambda view: (view.is_gone, view.name))


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


def facts_of(
    nodes: Iterable[NodeView],
    pools: Iterable[PoolView],
    refusals: Mapping[str, int],
    *,
    minutes: int,
    seen: Seen,
) -> Facts:
    """What the verdict is made of. Of the database nothing: without it there is no page."""
    nodes = list(nodes)
    return Facts(
        running=[node.name for node in nodes if not node.is_gone],
        draining=[node.name for node in nodes if node.state == "draining"],
        gone={node.name: clock(node.heartbeat_at) for node in nodes if node.is_gone},
        pools=[_pool(pool) for pool in pools],
        stores_away=["Redis"] if seen.redis_is_away else [],
        loop_lag_seconds=seen.second.loop_lag_seconds if seen.second else 0.0,
        refusals=refusals,
        minutes=minutes,
    )


def _pool(pool: PoolView) -> PoolFacts:
    takers = [member for member in pool.members if not (member.removed or member.draining)]
    down = [member for member in takers if member.css_class == _DOWN]
    return PoolFacts(
        name=pool.name,
        members=len(takers),
        down=len(down),
        full=sum(member.state == "full" for member in takers),
        down_since=_since(down),
    )


def _since(down: list[MemberView]) -> str:
    """Since when the first of them is."""
    known = [member.down_since for member in down if member.down_since is not None]
    return clock(min(known)) if known else ""


def clock(at: datetime) -> str:
    """`09:33`, in the time zone of the site; with its day where that is not today."""
    local, today = timezone.localtime(at), timezone.localdate()
    return local.strftime("%H:%M" if local.date() == today else "%d %b %H:%M")
