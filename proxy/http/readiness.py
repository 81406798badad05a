"""Is this node fit to be sent clients? One answer a part, and one for all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings

from proxy.engine.pools.pool import Pool
from proxy.node import GatewayNode

_REACH_SECONDS = 1.0
_KEPT_SECONDS = 2.0


class Readiness:
    """Answers for `/ready`. What costs a connection is asked at most once in two seconds, by one asker.

    It alone waits, for a second at most; the others hear what was found last: however many they are, a member
    that does not answer piles none of them up.
    """

    def __init__(self, node: GatewayNode) -> None:
        self._node = node
        self._reached: dict[str, bool] = {}
        self._looked_at = float("-inf")
        self._is_looking = False

    async def parts(self) -> dict[str, object]:
        """`ready`, and each part of it: redis, database, rules, upstreams by pool, tokens, draining.

        Draining, keys and upstreams decide. Stores are told, and decide only for a node that has never
        reached them: their outage stops no socket, and would else take all nodes from their clients at once.
        """
        node = self._node
        await self._look_if_due()
        upstreams = self._upstreams()
        tokens = node.verifier.jwks is None or node.verifier.jwks.is_ready
        stores_reached = node.hub.has_connected and node.heart.has_beaten and node.rules.known
        draining = node.door.draining
        return {
            "ready": stores_reached and tokens and not draining and self._leads_somewhere(upstreams),
            "redis": node.hub.connected if settings.REDIS_URL else None,
            "database": node.heart.beating,
            "rules": node.rules.known,
            "upstreams": upstreams,
            "tokens": tokens,
            "draining": draining,
        }

    def _leads_somewhere(self, upstreams: Mapping[str, bool]) -> bool:
        """Whether any route has something behind it; what has no pool opens a leg of its own."""
        return any(upstreams.values()) or any(each.pool is None for each in self._node.served.values())

    def _upstreams(self) -> dict[str, bool]:
        """Whether a new link would find a member: what probes say, or else the last look at their ports."""
        return {
            pool.name: self._reached.get(pool.name, False) if _has_no_probe(pool) else pool.available > 0
            for pool in self._node.pools()
            if pool.members
        }

    async def _look_if_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._is_looking or now - self._looked_at <= _KEPT_SECONDS:
            return
        self._is_looking = True
        try:
            pools = [pool for pool in self._node.pools() if pool.members and _has_no_probe(pool)]
            found = await asyncio.gather(*(_any_reachable(pool.members) for pool in pools))
            self._reached = {pool.name: up for pool, up in zip(pools, found, strict=True)}
            self._looked_at = now
        finally:
            self._is_looking = False


def _has_no_probe(pool: Pool) -> bool:
    return pool.upstream.probe is None


async def _any_reachable(members: tuple[str, ...]) -> bool:
    """True if one member takes a TCP connection."""
    return any(await asyncio.gather(*(_reachable(member) for member in members)))


async def _reachable(member: str) -> bool:
    parts = urlsplit(member)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(_REACH_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, UnicodeError):  # not in time, or no name: "a..b"
        return False
    writer.close()
    return True
