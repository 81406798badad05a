"""The bars that the gateway is held to, and how this run stands to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Medians = Mapping[str, Mapping[str, Mapping[str, float]]]  # measure → contender → figure → median


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`value` raises KeyError when the run did not measure what it needs."""

    text: str
    limit: float
    unit: str = "x"
    at_least: bool = False
    value: Callable[[Medians], float]

    def verdict(self, medians: Medians) -> dict[str, object]:
        """`met` is None when it was not measured; `margin` is the share of the limit left or missing."""
        try:
            value = self.value(medians)
        except KeyError as missing:
            return {"bar": self.text, "limit": self._limit(), "met": None, "why": f"not measured: {missing}"}
        met = value >= self.limit if self.at_least else value <= self.limit
        spare = (value - self.limit) * (1 if self.at_least else -1)
        margin = spare / self.limit if self.limit else spare
        return {
            "bar": self.text,
            "limit": self._limit(),
            "value": value,
            "unit": self.unit,
            "met": met,
            "margin": margin,
        }

    def _limit(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g} {self.unit}"


def ratio(measure: str, figure: str, one: str, other: str) -> Callable[[Medians], float]:
    return lambda medians: medians[measure][one][figure] / medians[measure][other][figure]


def figure(measure: str, name: str, contender: str) -> Callable[[Medians], float]:
    return lambda medians: medians[measure][contender][name]


def added(measure: str, name: str) -> Callable[[Medians], float]:
    """What the splice adds to no proxy at all: the difference of the two percentiles."""
    return lambda medians: medians[measure]["splice"][name] - medians[measure]["direct"][name]


def astray(measure: str) -> Callable[[Medians], float]:
    def count(medians: Medians) -> float:
        figures = medians[measure]["splice"]
        return figures["unanswered_most"] + figures["disordered_most"]

    return count


_CPU = ("round_trip_200", "cpu_us")
BARS = (
    Bar(text="CPU a round trip, splice to nginx", limit=1.3, value=ratio(*_CPU, "splice", "nginx")),
    Bar(text="CPU a round trip, splice to FastAPI", limit=0.40, value=ratio(*_CPU, "splice", "fastapi")),
    Bar(
        text="CPU a round trip, splice to the naive consumer",
        limit=0.10,
        value=ratio(*_CPU, "splice", "naive"),
    ),
    Bar(
        text="CPU a round trip, inspected to FastAPI", limit=0.60, value=ratio(*_CPU, "inspected", "fastapi")
    ),
    Bar(
        text="memory (RSS) of an idle spliced link, at 5,000",
        limit=16,
        unit="KB",
        value=figure("idle", "rss_kb_at_5000", "splice"),
    ),
    Bar(
        text="memory (RSS) of an idle link to a leg of the route's own, at 2,000",
        limit=20,
        unit="KB",
        value=figure("idle", "rss_kb_at_2000", "own-leg"),
    ),
    Bar(
        text="links held at once by one worker",
        limit=9_000,
        unit="links",
        at_least=True,
        value=figure("held", "held", "splice"),
    ),
    Bar(
        text="latency added at p99, 1,000 links at 5 messages a second each",
        limit=10,
        unit="ms",
        value=added("paced", "p99_ms"),
    ),
    Bar(
        text="messages lost or out of order, 1,000 links at 5 a second, worst round",
        limit=0,
        unit="messages",
        value=astray("paced"),
    ),
    Bar(
        text="latency added at p99, 10,000 links on two workers",
        limit=50,
        unit="ms",
        value=lambda medians: medians["crowd"]["workers"]["p99_ms"] - medians["crowd"]["direct"]["p99_ms"],
    ),
    Bar(
        text="CPU a new connection, splice (with JWT, admission, groups, record) to FastAPI (only the dial)",
        limit=0.60,
        value=ratio("connections", "cpu_ms", "splice", "fastapi"),
    ),
    Bar(
        text="new connections a second, two workers",
        limit=1_000,
        unit="a second",
        at_least=True,
        value=figure("connections", "per_second", "workers"),
    ),
    Bar(
        text="events delivered a second, two workers",
        limit=100_000,
        unit="a second",
        at_least=True,
        value=figure("fanout", "deliveries_per_second", "workers"),
    ),
)


def verdicts(medians: Medians) -> list[dict[str, object]]:
    return [bar.verdict(medians) for bar in BARS]
