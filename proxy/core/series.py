"""What nodes did over a span of time, in steps that a chart can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from proxy.core.samples import Counts, Sample, added, of_time, taken_seconds

T = TypeVar("T")

# A chart has no more lines than can be told apart; what is left is added up as one more.
MOST_WORDS = 12
OTHER = "other"
# So long after the end of a second nodes may still tell of it.
SETTLED_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Span:
    """So much time up to now, in steps of so long."""

    name: str
    seconds: int
    step_seconds: int

    def steps(self, now: int) -> range:
        """When each begins, in Unix seconds; the last one is under way."""
        last = now - now % self.step_seconds
        return range(last - self.seconds + self.step_seconds, last + 1, self.step_seconds)


SPANS = {
    span.name: span
    for span in (
        Span("15m", 15 * 60, 5),
        Span("1h", 3_600, 60),
        Span("24h", 24 * 3_600, 300),
        Span("7d", 7 * 24 * 3_600, 1_800),
    )
}


def series(span: Span, samples: Iterable[Sample], *, now: int) -> dict[str, Any]:
    """What a chart of a span shows, as JSON takes it. None of the samples, whatever they tell of, is longer
    than a step.

    A step of which nobody tells is None in each list. So are, in a step of which nodes may tell more yet, the
    things that are counted: part of one would look like a fall.
    """
    steps = span.steps(now)
    seen = _by_step(steps, samples)
    is_settled = [at + span.step_seconds + SETTLED_SECONDS <= now for at in steps]
    whole = [step if settled else None for step, settled in zip(seen, is_settled, strict=True)]
    return {
        "span": span.name,
        "step_seconds": span.step_seconds,
        "at": list(steps),
        "links": _lines(seen, attrgetter("links")),
        "opens": _line(whole, lambda step: sum(step.opens.values())),
        "closes": _lines(whole, attrgetter("closes")),
        "refusals": _lines(whole, attrgetter("refusals")),
        "dial_p95_seconds": _line(seen, lambda step: taken_seconds(step.dials, 0.95)),
        "delivery_p99_seconds": _line(seen, lambda step: taken_seconds(step.deliveries, 0.99)),
        **{name: _line(seen, attrgetter(name)) for name in ("loop_lag_seconds", "resident_bytes")},
        **{
            name: _line(whole, attrgetter(name))
            for name in ("messages_in", "messages_out", "bytes_in", "bytes_out")
        },
    }


def _by_step(steps: range, samples: Iterable[Sample]) -> list[Sample | None]:
    """What was done in each; None where nobody tells."""
    told: list[list[Sample]] = [[] for _ in steps]
    for sample in samples:
        place = (sample.at - steps.start) // steps.step
        if 0 <= place < len(told):
            told[place].append(sample)
    return [of_time(each) if each else None for each in told]


def _line(steps: Sequence[Sample | None], read: Callable[[Sample], T]) -> list[T | None]:
    return [None if step is None else read(step) for step in steps]


def _lines(steps: Sequence[Sample | None], read: Callable[[Sample], Counts]) -> dict[str, list[int | None]]:
    """A line for each word, those of the most first; the words of the least are one."""
    counts = [None if step is None else read(step) for step in steps]
    sums = added(each for each in counts if each is not None)
    words = sorted(sums, key=lambda word: (-sums[word], word))
    named, rest = words[:MOST_WORDS], words[MOST_WORDS:]
    lines = {word: [None if each is None else each.get(word, 0) for each in counts] for word in named}
    if rest:
        lines[OTHER] = [None if each is None else sum(each.get(word, 0) for word in rest) for each in counts]
    return lines
