"""A route at run time, on one node: the pool behind it, what bounds its clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from proxy.core.limits import LinkLimits
from proxy.core.message_gate import MessageGates
from proxy.core.routes import Route
from proxy.engine.pools.pool import Pool


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """What a node keeps for one route. `gates` is None where nothing bounds the clients' messages."""

    route: Route
    pool: Pool
    gates: MessageGates | None
    limits: LinkLimits


def serve_routes(routes: Iterable[Route], *, limits: LinkLimits) -> dict[str, ServedRoute]:
    """What to keep, by the route's name. Routes with the same upstream share a pool."""
    pools: dict[str, Pool] = {}
    served: dict[str, ServedRoute] = {}
    for route in routes:
        name, bounds = route.upstream.name, route.message_limits
        if name not in pools:
            pools[name] = _pool(route)
        gates = None if bounds.is_unlimited else MessageGates(bounds)
        served[route.name] = ServedRoute(route, pools[name], gates, limits)
    return served


def _pool(route: Route) -> Pool:
    return Pool(
        route.upstream,
        dial_seconds=settings.DIAL_TIMEOUT_SECONDS,
        max_concurrent_dials=settings.MAX_CONCURRENT_DIALS,
    )
