"""What this node does, a second at a time: read off its metrics, which count where things happen."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from prometheus_client import Counter, Gauge

from proxy import metrics
from proxy.core.samples import DIAL_BOUNDS, Counts, Sample, added

_BOUNDS = (*DIAL_BOUNDS, math.inf)
_ANY: Mapping[str, str] = {}


class Totals(NamedTuple):
    """What a process has counted since its start."""

    opens: Counts
    closes: Counts
    refusals: Counts
    messages: Counts  # by direction
    size: Counts
    dials: tuple[int, ...]


class Sampler:
    """Hands one sample a second to `tell`: of the second that has just ended, by this machine's clock."""

    def __init__(self, tell: Callable[[Sample], None]) -> None:
        self._tell = tell

    async def run(self) -> NoReturn:
        """Until cancelled. A second for which the loop was too busy is told with the next."""
        before, began = read_totals(), int(time.time())
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            at, totals = int(time.time()), read_totals()
            if at > began:
                self._tell(sample_of(before, totals, at=began, seconds=at - began))
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
        dials=tuple(now - then for then, now in zip(before.dials, totals.dials, strict=True)),
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
        dials=_dials(),
    )


def _more(before: Counts, now: Counts) -> dict[str, int]:
    return added([now, {word: -count for word, count in before.items()}])


def _counted(metric: Any, by: str, *, only: Mapping[str, str] = _ANY) -> dict[str, int]:
    """What a metric's children say, added up by one label; those alone whose labels are as `only` has."""
    ending = "_total" if isinstance(metric, Counter) else ""  # a counter says when it was made, too
    told = _told(metric, ending)
    return added({labels[by]: int(value)} for labels, value in told if only.items() <= labels.items())


def _told(metric: Any, ending: str = "") -> Iterator[tuple[dict[str, str], float]]:
    """Labels and values of what a metric tells by names of that ending."""
    for family in metric.collect():
        for sample in family.samples:
            if sample.name.endswith(ending):
                yield sample.labels, sample.value


def _value(gauge: Gauge) -> float:
    return next((value for _, value in _told(gauge)), 0.0)


def _dials() -> tuple[int, ...]:
    """How many there were of all members together, each by the least bound that it did not exceed."""
    up_to = [0] * len(_BOUNDS)
    for labels, value in _told(metrics.DIAL_SECONDS, "_bucket"):
        up_to[_BOUNDS.index(float(labels["le"]))] += int(value)
    return tuple(more - less for less, more in pairwise([0, *up_to]))
