"""What a node measures of itself, every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from proxy import metrics
from proxy.engine.lag import LoopLag
from proxy.engine.links.link import Link
from proxy.engine.pools.pool import Pool
from proxy.engine.recorder import Recorder

_MEASURE_SECONDS = 2.0


async def measure_forever(
    *, lag: LoopLag, links: Callable[[], Iterable[Link]], pools: Sequence[Pool], recorder: Recorder
) -> NoReturn:
    """Bring the gauges up to date until cancelled."""
    while True:
        metrics.RECORD_QUEUE_LENGTH.set(recorder.queue_length)
        metrics.LOOP_LAG_SECONDS.set(lag.seconds)
        streams = (link.stream for link in links())
        metrics.BUFFERED_BYTES.set(sum(stream.buffered_bytes for stream in streams if stream is not None))
        for pool in pools:
            metrics.child(metrics.UPSTREAM_HEALTHY, pool.name).set(pool.available)
        await asyncio.sleep(_MEASURE_SECONDS)
