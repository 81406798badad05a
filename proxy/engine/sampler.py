"""What this node does, a second at a time: read off its metrics, which count where things happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from prometheus_client import Counter, Gauge, Histogram

from proxy import metrics
from proxy.core.samples import NOTHING_TIMED, Counts, Sample, added

_ANY: Mapping[str, str] = {}


class Totals(NamedTuple):
    """What a process has counted since its start."""

    opens: Counts
    closes: Counts
    refusals: Counts
    messages: Counts  # by direction
    size: Counts
    dials: tuple[int, ...]
    deliveries: tuple[int, ...]


class Sampler:
    """Hands one sample a second to `tell`: of the second that has just ended, by this machine's clock."""

    def __init__(self, tell: Callable[[Sample], None]) -> None:
        self._tell = tell

    async def run(self) -> NoReturn:
        """Until cancelled. A second for which the loop was too busy is told with the next."""
        before, began = read_totals(), int(time.time())
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            at = int(time.time())
            if at == began:  # a timer may be early by a moment: what takes longer than that is done later
                continue
            totals, seconds = read_totals(), max(1, at - began)  # the clock may have been set back
            self._tell(sample_of(before, totals, at=at - seconds, seconds=seconds))
            before, began = totals, at


def sample_of(before: Totals, totals: Totals, *, at: int, seconds: int) -> Sample:
    """What came between two readings, and how things stand now."""
    messages, size = _more(before.messages, totals.messages), _more(before.size, totals.size)
    return Sample(
        at=at,
        seconds=seconds,
        links=_counted(metrics.CONNECTIONS, "route"),
        opens=_more(before.opens, totals.opens),
        closes=_more(before.closes, totals.closes),
        refusals=_more(before.refusals, totals.refusals),
        messages_in=messages.get("in", 0),
        messages_out=messages.get("out", 0),
        bytes_in=size.get("in", 0),
        bytes_out=size.get("out", 0),
        dials=_more_timed(before.dials, totals.dials),
        deliveries=_more_timed(before.deliveries, totals.deliveries),
        loop_lag_seconds=_value(metrics.LOOP_LAG_SECONDS),
        resident_bytes=int(_value(metrics.RESIDENT_BYTES)),
    )


def read_totals() -> Totals:
    """As they stand."""
    return Totals(
        opens=_counted(metrics.CONNECTIONS_TOTAL, "route", only={"outcome": "accepted"}),
        closes=_counted(metrics.CLOSES_TOTAL, "cause"),
        refusals=_counted(metrics.REJECTIONS_TOTAL, "reason"),
        messages=_counted(metrics.MESSAGES_TOTAL, "direction"),
        size=_counted(metrics.BYTES_TOTAL, "direction"),
        dials=_timed(metrics.DIAL_SECONDS),
        deliveries=_timed(metrics.EVENT_DELIVERY_SECONDS),
    )


def _more(before: Counts, now: Counts) -> dict[str, int]:
    return added([now, {word: -count for word, count in before.items()}])


def _more_timed(before: Sequence[int], now: Sequence[int]) -> tuple[int, ...]:
    return tuple(later - then for then, later in zip(before, now, strict=True))


def _counted(metric: Counter | Gauge, by: str, *, only: Mapping[str, str] = _ANY) -> dict[str, int]:
    """What a metric's children say, added up by one label; those alone whose labels are as `only` has."""
    place = metric._labelnames.index(by)
    wanted = [(metric._labelnames.index(name), value) for name, value in only.items()]
    counted: dict[str, int] = {}
    for labels, child in _children(metric):
        if all(labels[each] == value for each, value in wanted):
            counted[labels[place]] = counted.get(labels[place], 0) + int(child._value.get())
    return {word: count for word, count in counted.items() if count}


def _children(metric: Counter | Gauge | Histogram) -> list[tuple[Sequence[str], Any]]:
    """With their labels' values. `collect` makes three objects of each number, which holds the loop up for
    20 ms on a node with a hundred members; this reads what that reads, of the pinned release.
    """
    return list(metric._metrics.items())


def _value(gauge: Gauge) -> float:
    value: float = gauge._value.get()
    return value


def _timed(metric: Histogram) -> tuple[int, ...]:
    """How many there were, whatever their labels, each by the least bound that it did not exceed."""
    children = (child for _, child in _children(metric)) if metric._labelnames else (metric,)
    counts = [[int(bucket.get()) for bucket in child._buckets] for child in children]
    return tuple(map(sum, zip(*counts, strict=True))) if counts else NOTHING_TIMED
