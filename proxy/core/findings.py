"""What a trial of one part has found, and how that is told: to people as lines, to programs as an object."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from proxy.core.human import counted

_GAP = "  "


class Outcome(StrEnum):
    """Of a trial. `unused`: it is not configured, or depends on what is wrong elsewhere."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was `seen` of a `part`, in one line; `hint`: what to do next, "" where that is nothing."""

    part: str
    outcome: Outcome
    seen: str
    hint: str = ""


class Amiss(Exception):
    """A trial has found what is not as it should be. str() says what was seen; it may hold secrets yet."""

    def __init__(self, seen: str, *, hint: str = "") -> None:
        super().__init__(seen)
        self.hint = hint

    def finding(self, part: str, *, hint: str) -> Finding:
        """`hint` where it has none of its own."""
        return failed(part, str(self), self.hint or hint)


def ok(part: str, seen: str) -> Finding:
    return Finding(part, Outcome.OK, seen)


def warning(part: str, seen: str, hint: str) -> Finding:
    return Finding(part, Outcome.WARNING, seen, hint)


def failed(part: str, seen: str, hint: str) -> Finding:
    return Finding(part, Outcome.FAILED, seen, hint)


def unused(part: str, seen: str) -> Finding:
    return Finding(part, Outcome.UNUSED, seen)


def worst(findings: Iterable[Finding]) -> Outcome:
    """Of all: `failed`, else `warning`, else `ok`."""
    outcomes = {each.outcome for each in findings}
    return next((each for each in (Outcome.FAILED, Outcome.WARNING) if each in outcomes), Outcome.OK)


def as_lines(
    findings: Sequence[Finding], *, columns: int, paint: Callable[[Outcome, str], str] = lambda _, word: word
) -> Iterator[str]:
    """A table of words, parts and what was seen, no line of which is longer than `columns`; hints stand below
    what they are for. `paint` may colour an outcome's word, which keeps its width on the screen."""
    words = max((len(each.outcome) for each in findings), default=0)
    parts = max((len(each.part) for each in findings), default=0)
    margin = " " * (words + parts + 2 * len(_GAP))
    width = max(columns - len(margin), 30)
    for each in findings:
        word = paint(each.outcome, each.outcome.ljust(words))
        first, *rest = _wrapped(each.seen, width)
        yield f"{word}{_GAP}{each.part.ljust(parts)}{_GAP}{first}".rstrip()
        yield from (margin + line for line in rest)
        for at, line in enumerate(_wrapped(each.hint, width - 2) if each.hint else ()):
            yield f"{margin}{'  ' if at else '→ '}{line}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def as_object(findings: Sequence[Finding]) -> dict[str, Any]:
    """As JSON: `outcome` of all, how many there are of each, and each of `parts`."""
    return {
        "outcome": worst(findings).value,
        "counts": {each.value: sum(one.outcome is each for one in findings) for each in Outcome},
        "parts": [
            {"part": each.part, "outcome": each.outcome.value, "seen": each.seen, "hint": each.hint}
            for each in findings
        ],
    }


def summary(findings: Sequence[Finding]) -> str:
    """Such as `9 ok, 2 warnings, 1 failed`."""
    counts = as_object(findings)["counts"]
    told = {
        each: counted(count, each) if each == Outcome.WARNING else f"{count} {each}"
        for each, count in counts.items()
    }
    return ", ".join(told[each] for each, count in counts.items() if count)
