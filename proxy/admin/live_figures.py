"""What the process that answers the Live page sees: the last second of all nodes, and Redis or not."""

from __future__ import annotations

import time
from typing import NamedTuple

from asgiref.sync import async_to_sync
from django.conf import settings

from proxy.core.human import milliseconds, rate, size
from proxy.core.samples import Counts, Sample, taken_seconds
from proxy.node import node_here

# Seconds are read while somebody asks for them: who comes first waits a little, and may see none.
_WAIT_SECONDS = 0.5
_LATELY_SECONDS = 10
UNKNOWN = "-"
_NAMES = ("opens", "closes", "refusals", "messages", "bytes", "dial", "delivery", "lag", "memory")


class Seen(NamedTuple):
    """`second` is of all nodes together; None where nothing was told lately, or this process is none."""

    second: Sample | None = None
    redis_is_away: bool = False


def look() -> Seen:
    """Asks the event loop, which knows."""
    return async_to_sync(_look)()


async def _look() -> Seen:
    node = node_here()
    if node is None:
        return Seen()
    await node.figures.live.caught_up(within_seconds=_WAIT_SECONDS)
    told = node.figures.live.since(int(time.time()) - _LATELY_SECONDS)
    is_away = bool(settings.REDIS_URL) and not node.hub.connected
    return Seen(told[-1].total if told else None, is_away)


def in_words(second: Sample | None) -> dict[str, str]:
    """By the names that the page has for them; scripts say the same (`live_page/figures.js`)."""
    if second is None:
        return dict.fromkeys(_NAMES, UNKNOWN)
    seconds = second.seconds

    def each(counts: Counts) -> str:
        return rate(sum(counts.values()) / seconds)

    messages = (rate(count / seconds) for count in (second.messages_in, second.messages_out))
    traffic = (f"{size(count // seconds)}/s" for count in (second.bytes_in, second.bytes_out))
    return {
        "opens": each(second.opens),
        "closes": each(second.closes),
        "refusals": each(second.refusals),
        "messages": "{} in, {} out".format(*messages),
        "bytes": "{} in, {} out".format(*traffic),
        "dial": _delay(taken_seconds(second.dials, 0.95)),
        "delivery": _delay(taken_seconds(second.deliveries, 0.99)),
        "lag": milliseconds(second.loop_lag_seconds),
        "memory": size(second.resident_bytes),
    }


def _delay(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else milliseconds(seconds)
