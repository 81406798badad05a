"""What nodes did in some seconds, as admin charts it: counted by each, added up over nodes and over time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

# In seconds: what takes time belongs to the first that it does not exceed, or to one more behind the last.
TIME_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

NOTHING_TIMED = (0,) * (len(TIME_BOUNDS) + 1)

Counts = Mapping[str, int]


def added(several: Iterable[Counts]) -> dict[str, int]:
    """The sums of what several count by the same words; words of nothing are left out."""
    sums: dict[str, int] = {}
    for word, count in chain.from_iterable(each.items() for each in several):
        sums[word] = sums.get(word, 0) + count
    return {word: count for word, count in sums.items() if count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one node, or all of them, did in the `seconds` from `at` (Unix seconds) on.

    `links` by route, as they stood at its end; all else but the last three is what came in that time: `opens`
    by route, `closes` and `refusals` by cause, messages and payload bytes from and to clients, `dials` and
    `deliveries` of events by the bound that they did not exceed. Loop lag is the worst, memory the sum of
    what processes hold.
    """

    at: int
    seconds: int = 1
    links: Counts = field(default_factory=dict)
    opens: Counts = field(default_factory=dict)
    closes: Counts = field(default_factory=dict)
    refusals: Counts = field(default_factory=dict)
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dials: tuple[int, ...] = NOTHING_TIMED
    deliveries: tuple[int, ...] = NOTHING_TIMED
    loop_lag_seconds: float = 0.0
    resident_bytes: int = 0

    def encoded(self) -> str:
        """As one line of JSON; what is empty is left out."""
        return json.dumps([self.at, self.seconds, dict(self._filled())])

    def _filled(self) -> Iterable[tuple[str, Any]]:
        for name in _PARTS:
            value = getattr(self, name)
            if any(value) if name in _TIMED else value:
                yield name, value

    @classmethod
    def decoded(cls, text: str | bytes) -> Sample:
        """What `encoded` said; what a later release adds is left out.

        Raises ValueError for anything else.
        """
        try:
            at, seconds, told = json.loads(text)
            parts = {name: told[name] for name in _PARTS if name in told}
            parts |= {name: _timed(parts[name]) for name in _TIMED & parts.keys()}
            return cls(at=int(at), seconds=int(seconds), **parts)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no sample: {error}") from None


_PARTS = tuple(name for name in Sample.__slots__ if name not in {"at", "seconds"})
_TIMED = {"dials", "deliveries"}


def _timed(told: Sequence[int]) -> tuple[int, ...]:
    """Of a release with other bounds they would be told of the wrong ones."""
    return tuple(told) if len(told) == len(NOTHING_TIMED) else NOTHING_TIMED


def of_nodes(samples: Sequence[Sample]) -> Sample:
    """What several nodes did in the same time. Raises ValueError for none."""
    return _together(
        samples,
        links=added(each.links for each in samples),
        resident_bytes=sum(each.resident_bytes for each in samples),
    )


def of_time(samples: Sequence[Sample]) -> Sample:
    """What one, or all, did in several times, from the first to the last. Raises ValueError for none."""
    last = max(samples, key=lambda each: each.at)
    return _together(samples, links=last.links, resident_bytes=last.resident_bytes)


def _together(samples: Sequence[Sample], *, links: Counts, resident_bytes: int) -> Sample:
    if not samples:
        raise ValueError("of no samples there is nothing to tell")
    at = min(each.at for each in samples)
    return Sample(
        at=at,
        seconds=max(each.at + each.seconds for each in samples) - at,
        links=links,
        dials=_sums(each.dials for each in samples),
        deliveries=_sums(each.deliveries for each in samples),
        loop_lag_seconds=max(each.loop_lag_seconds for each in samples),
        resident_bytes=resident_bytes,
        opens=added(each.opens for each in samples),
        closes=added(each.closes for each in samples),
        refusals=added(each.refusals for each in samples),
        messages_in=sum(each.messages_in for each in samples),
        messages_out=sum(each.messages_out for each in samples),
        bytes_in=sum(each.bytes_in for each in samples),
        bytes_out=sum(each.bytes_out for each in samples),
    )


def _sums(timed: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*timed, strict=True)))


def taken_seconds(timed: Sequence[int], share: float) -> float | None:
    """How long that share of what was timed took at most, read between bounds on a line; None of nothing.

    What is beyond the last bound is told as that bound.
    """
    wanted, below, lower = share * sum(timed), 0, 0.0
    if not any(timed):
        return None
    for count, upper in zip(timed, (*TIME_BOUNDS, math.inf), strict=True):
        if count and below + count >= wanted:
            return lower if upper == math.inf else lower + (upper - lower) * max(0.0, wanted - below) / count
        below, lower = below + count, upper
    return TIME_BOUNDS[-1]
