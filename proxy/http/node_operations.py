"""What operators and their probes ask of a gateway's node."""

from __future__ import annotations

from functools import lru_cache

from proxy.http.operations import Answer, Paths, prometheus
from proxy.http.readiness import Readiness
from proxy.node import running_node
from proxy.socket.middleware import Scope

_UNHEALTHY_LAG_SECONDS = 5.0
_readiness_of = lru_cache(Readiness)


async def health(_: Scope) -> Answer:
    """Is the process alive, and how late is its event loop? 503 when the loop is seconds late."""
    node = await running_node()
    lag_seconds = node.lag.seconds
    alive = lag_seconds < _UNHEALTHY_LAG_SECONDS
    lag_ms = round(lag_seconds * 1000, 1)
    return Answer.of(200 if alive else 503, alive=alive, node=node.node_id, loop_lag_ms=lag_ms)


async def ready(_: Scope) -> Answer:
    """Should clients be sent here? 503 when they should not; the body tells of each part."""
    parts = await _readiness_of(await running_node()).parts()
    return Answer.of(200 if parts["ready"] else 503, **parts)


PATHS: Paths = {"/health": health, "/ready": ready, "/metrics": prometheus}
