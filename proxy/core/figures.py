"""What nodes did in a second, in words: as the page Live and `manage.py status` say it."""

from __future__ import annotations

from typing import Any

from proxy.core.human import milliseconds, rate, size
from proxy.core.samples import Counts, Sample, taken_seconds

UNKNOWN = "-"
_SUMS = ("opens", "closes", "refusals")
_COUNTS = ("messages_in", "messages_out", "bytes_in", "bytes_out")
_NAMES = ("opens", "closes", "refusals", "messages", "bytes", "dial", "delivery", "lag", "memory")


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


def told(second: Sample) -> dict[str, Any]:
    """For programs: what came in a second, as the mean of those from `at` (Unix seconds) on."""
    return {
        "at": second.at,
        "links_by_route": dict(second.links),
        **{name: sum(getattr(second, name).values()) / second.seconds for name in _SUMS},
        **{name: getattr(second, name) / second.seconds for name in _COUNTS},
        "dial_p95_seconds": taken_seconds(second.dials, 0.95),
        "delivery_p99_seconds": taken_seconds(second.deliveries, 0.99),
        "loop_lag_seconds": second.loop_lag_seconds,
        "resident_bytes": second.resident_bytes,
    }


def _delay(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else milliseconds(seconds)
