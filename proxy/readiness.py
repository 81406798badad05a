"""Is this node fit to be sent clients? One answer a part, and one for all."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from proxy.engine.pool import Pool
from proxy.runtime import Runtime

_REACH_SECONDS = 1.0
_KEPT_SECONDS = 2.0


class Readiness:
    """Answers for `/ready`. What costs a connection is asked at most once in two seconds."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._reached: tuple[float, dict[str, bool]] = (float("-inf"), {})
        self._asking = asyncio.Lock()

    async def parts(self) -> dict[str, object]:
        """`ready`, and each part of it: redis, database, rules, upstreams by pool, tokens, draining.

        Draining, keys and upstreams decide. Stores are told, and decide only for a node that has never
        reached them: their outage stops no socket, and would else take all nodes from their clients at once.
        """
        runtime = self._runtime
        upstreams = await self._upstreams()
        tokens = runtime.verifier.jwks is None or runtime.verifier.jwks.state.ready
        stores_reached = runtime.hub.has_connected and runtime.heart.has_beaten and runtime.rules.known
        return {
            "ready": stores_reached and tokens and not runtime.draining and any(upstreams.values()),
            "redis": runtime.hub.connected,
            "database": runtime.heart.beating,
            "rules": runtime.rules.known,
            "upstreams": upstreams,
            "tokens": tokens,
            "draining": runtime.draining,
        }

    async def _upstreams(self) -> dict[str, bool]:
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._reached[0] > _KEPT_SECONDS:
                pools = [pool for pool in self._runtime.pools() if pool.members]
                found = await asyncio.gather(*map(_any_usable, pools))
                self._reached = now, {pool.name: up for pool, up in zip(pools, found, strict=True)}
            return self._reached[1]


async def _any_usable(pool: Pool) -> bool:
    """Whether a new link would find a member: what probes say, or else a look at their ports."""
    if pool.upstream.probe is not None:
        return pool.available > 0
    return await _any_reachable(pool.members)


async def _any_reachable(members: tuple[str, ...]) -> bool:
    """True if one member takes a TCP connection."""
    return any(await asyncio.gather(*(_reachable(member) for member in members)))


async def _reachable(member: str) -> bool:
    parts = urlsplit(member)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(_REACH_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
