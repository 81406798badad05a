"""How the gateway is: a verdict in words, and what this process sees of all nodes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone

from proxy.core.samples import Sample
from proxy.core.seconds import LATELY_SECONDS
from proxy.core.verdict import Facts, PoolFacts, Verdict, verdict
from proxy.node import node_here
from proxy.tables.counting import Totals, totals
from proxy.tables.node_views import NodeView, node_views
from proxy.tables.pools_overview import MemberView, PoolView, pool_views
from proxy.tables.refusals import lately

# Seconds are read while somebody asks for them: who comes first waits a little, and may see none.
_WAIT_SECONDS = 0.5
MINUTES = 5


class Seen(NamedTuple):
    """`recent`: of all nodes together, the last ten seconds; None where nothing was told lately, or this
    process is none."""

    recent: Sample | None = None
    redis_is_away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How it is. `refused` are those of the last `MINUTES`, by cause and how many in all."""

    verdict: Verdict
    recent: Sample | None
    totals: Totals
    refused: dict[str, Any]
    nodes: list[NodeView]
    pools: list[PoolView]


def status(seen: Seen | None = None) -> Status:
    """Five queries, whatever there is. `seen` by the node of this process, unless it is given."""
    seen = look() if seen is None else seen
    nodes, pools, refused = node_views(), pool_views(), lately(minutes=MINUTES)
    return Status(
        verdict=verdict(facts_of(nodes, pools, refused["by_cause"], minutes=MINUTES, seen=seen)),
        recent=seen.recent,
        totals=totals(),
        refused=refused,
        nodes=nodes,
        pools=pools,
    )


def look() -> Seen:
    """Asks the event loop, which knows."""
    return async_to_sync(_look)()


async def _look() -> Seen:
    node = node_here()
    if node is None:
        return Seen()
    await node.figures.live.caught_up(within_seconds=_WAIT_SECONDS)
    recent = node.figures.live.lately(int(time.time()) - LATELY_SECONDS)
    return Seen(recent, redis_is_away=bool(settings.REDIS_URL) and not node.hub.connected)


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
        pools=[pool_facts(pool) for pool in pools],
        stores_away=["Redis"] if seen.redis_is_away else [],
        loop_lag_seconds=seen.recent.loop_lag_seconds if seen.recent else 0.0,
        refusals=refusals,
        minutes=minutes,
    )


def pool_facts(pool: PoolView) -> PoolFacts:
    """Of those that take new links, or would."""
    takers = [member for member in pool.members if not (member.removed or member.draining)]
    down = [member for member in takers if member.is_down]
    return PoolFacts(
        name=pool.name,
        members=len(takers),
        down=len(down),
        full=sum(member.state == "full" for member in takers),
        drained=sum(member.draining and not member.removed for member in pool.members),
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
