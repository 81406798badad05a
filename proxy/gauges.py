"""The gauges of one node, brought up to date every two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from proxy import metrics
from proxy.engine.admission.door import Door
from proxy.engine.batch_writer import BatchWriter
from proxy.engine.hub import Hub
from proxy.engine.jwks import Jwks
from proxy.engine.lag import LoopLag
from proxy.engine.links.link import Link
from proxy.engine.memory import resident_bytes
from proxy.engine.pools.pool import Pool
from proxy.engine.refusal_recorder import RefusalRecorder
from proxy.tables.heart import NodeHeart

_MEASURE_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class Gauges:
    """What is read of a node. `hub` is None where no Redis is set, `jwks` where keys are not fetched."""

    writers: tuple[BatchWriter[Any], ...]
    refusals: RefusalRecorder
    door: Door
    lag: LoopLag
    heart: NodeHeart
    hub: Hub | None
    jwks: Jwks | None
    links: Callable[[], Iterable[Link]]
    pools: Callable[[], Iterable[Pool]]
    _draining_since: float | None = field(default=None, init=False)

    async def run(self) -> NoReturn:
        """Bring the gauges up to date until cancelled."""
        while True:
            metrics.RECORD_QUEUE_LENGTH.set(sum(each.queue_length for each in self.writers))
            self.refusals.measure()
            self._measure_process()
            self._measure_stores()
            self._measure_pools()
            streams = (link.stream for link in self.links())
            metrics.BUFFERED_BYTES.set(sum(stream.buffered_bytes for stream in streams if stream is not None))
            await asyncio.sleep(_MEASURE_SECONDS)

    def _measure_process(self) -> None:
        metrics.LOOP_LAG_SECONDS.set(self.lag.seconds)
        metrics.RESIDENT_BYTES.set(resident_bytes())
        metrics.MOST_CONNECTIONS.set(self.door.most_links)
        metrics.DRAINING_SECONDS.set(self._draining_seconds())

    def _measure_stores(self) -> None:
        """What `/ready` says of keys and stores."""
        metrics.child(metrics.STORE_CONNECTED, "database").set(self.heart.beating)
        if self.hub is not None:
            metrics.child(metrics.STORE_CONNECTED, "redis").set(self.hub.connected)
        if self.jwks is not None:
            metrics.KEYS_AGE_SECONDS.set(self.jwks.age_seconds)

    def _measure_pools(self) -> None:
        for pool in self.pools():
            if pool.members or pool.upstream.editable:  # others are not configured, and nobody's to mend
                metrics.child(metrics.UPSTREAM_HEALTHY, pool.name).set(pool.available)
                members = sum(not member.draining for member in pool.all_members())
                metrics.child(metrics.UPSTREAM_MEMBERS, pool.name).set(members)

    def _draining_seconds(self) -> float:
        if not self.door.draining:
            return 0.0
        now = asyncio.get_running_loop().time()
        self._draining_since = self._draining_since or now
        return now - self._draining_since
