"""A route at run time, on one node: the pool behind it, what bounds its clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from proxy.core.limits import ConnectionLimits, LinkLimits
from proxy.core.message_gate import MessageGates
from proxy.core.routes import Route, Upstream
from proxy.engine.pools.pool import Pool
from proxy.registry import caps_of


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """What a node keeps for one route.

    `pool` is None where each link has a leg of the route's own, `gates` where nothing bounds the clients'
    messages. Links are counted by `caps`, with those of routes whose caps have the same name.
    """

    route: Route
    pool: Pool | None
    gates: MessageGates | None
    caps: ConnectionLimits
    limits: LinkLimits


def serve_routes(routes: Iterable[Route], *, limits: LinkLimits) -> dict[str, ServedRoute]:
    """What to keep, by the route's name. Routes with the same upstream share a pool."""
    pools: dict[str, Pool] = {}
    served: dict[str, ServedRoute] = {}
    for route in routes:
        pool = None
        if isinstance(route.upstream, Upstream):
            if route.upstream.name not in pools:
                pools[route.upstream.name] = _pool(route.upstream)
            pool = pools[route.upstream.name]
        messages = route.message_limits
        served[route.name] = ServedRoute(
            route=route,
            pool=pool,
            gates=None if messages.is_unlimited else MessageGates(messages, phrase=route.phrase),
            caps=caps_of(route),
            limits=route.bounds.within(limits),
        )
    return served


def _pool(upstream: Upstream) -> Pool:
    return Pool(
        upstream,
        dial_seconds=settings.DIAL_TIMEOUT_SECONDS,
        max_concurrent_dials=settings.MAX_CONCURRENT_DIALS,
    )
