"""What has crossed the live links, added to the metrics every few seconds.

The hot path counts in the link's own counters and never touches a metric.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from copy import copy
from typing import NoReturn

from proxy import metrics
from proxy.engine.links.link import Link

COUNT_SECONDS = 5.0
_LINKS_A_TURN = 200


async def count_forever(links: Callable[[], Iterable[Link]]) -> NoReturn:
    """Count what crosses `links()`, some of them a turn of the loop, until cancelled."""
    while True:
        some = tuple(links())
        pause_seconds = COUNT_SECONDS / (1 + len(some) // _LINKS_A_TURN)
        for first in range(0, len(some), _LINKS_A_TURN):
            for link in some[first : first + _LINKS_A_TURN]:
                count_traffic(link)
            await asyncio.sleep(pause_seconds)
        if not some:
            await asyncio.sleep(COUNT_SECONDS)


def count_traffic(link: Link) -> None:
    """Add what crossed `link` since it was last counted."""
    route, now, before = link.record.route, link.counters, link.counted
    for direction, messages, size in (
        ("in", now.messages_in - before.messages_in, now.bytes_in - before.bytes_in),
        ("out", now.messages_out - before.messages_out, now.bytes_out - before.bytes_out),
    ):
        if messages:
            metrics.child(metrics.MESSAGES_TOTAL, route, direction).inc(messages)
            metrics.child(metrics.BYTES_TOTAL, route, direction).inc(size)
            metrics.child(metrics.MESSAGE_SIZE_BYTES, route, direction).observe(size / messages)
    if now.messages_dropped > before.messages_dropped:
        dropped = now.messages_dropped - before.messages_dropped
        metrics.child(metrics.MESSAGES_DROPPED_TOTAL, route, "rate").inc(dropped)
    link.counted = copy(now)
