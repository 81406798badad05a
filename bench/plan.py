"""The order of a run: each measure in rounds, and in each round every contender in turn.

A noisy minute of the machine then hits all of them alike; medians over the rounds are what is reported.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from bench import load
from bench.contenders import Contender
from bench.figures import Figures
from bench.running import Running

WORST = ("disordered", "unanswered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One measure of a stage: `taking(running)` is a coroutine that returns its figures."""

    stage: str
    measure: str
    of: Callable[[Contender], bool]
    taking: Callable[[Running], Coroutine[Any, Any, Figures]]
    rounds: int = 1
    is_crowd: bool = False  # opens thousands of links, which takes minutes


@dataclass(slots=True, kw_only=True)
class Taken:
    """measure → contender → one dict of figures a round; and what failed, in words."""

    rounds: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def medians(self) -> dict[str, dict[str, Figures]]:
        return {
            measure: {name: summary(figures) for name, figures in by_contender.items() if figures}
            for measure, by_contender in self.rounds.items()
        }


def summary(rounds: list[Figures]) -> Figures:
    """The median of each figure; of what must never happen, the worst round as well."""
    medians = {key: statistics.median(one[key] for one in rounds if key in one) for key in rounds[0]}
    return medians | {f"{key}_most": max(one[key] for one in rounds) for key in WORST if key in rounds[0]}


def chosen(steps: Sequence[Step], names: set[str], *, crowds: bool) -> list[Step]:
    """Those whose stage or measure is named; all where none is, crowds only if they are to be.

    Raises:
        SystemExit: a name is none.
    """
    known = {step.stage for step in steps} | {step.measure for step in steps}
    if unknown := names - known:
        raise SystemExit(f"--stage: {', '.join(sorted(unknown))} is none of {', '.join(sorted(known))}")
    if names:
        return [step for step in steps if names & {step.stage, step.measure}]
    return [step for step in steps if crowds or not step.is_crowd]


def take(todo: list[Step], contenders: list[Running]) -> Taken:
    """Do it all. A contender that fails a measure is left out of it, and the failure is kept in words."""
    taken = Taken()
    for step in todo:
        began = time.monotonic()
        taking_part = [running for running in contenders if step.of(running.contender)]
        by_contender = taken.rounds.setdefault(step.measure, {})
        for _ in range(step.rounds):
            for running in taking_part:
                figures = _take_one(step, running, taken.failures)
                if figures:
                    by_contender.setdefault(running.name, []).append(figures)
        print(f"  {step.measure:<22} {time.monotonic() - began:5.1f} s", file=sys.stderr, flush=True)
    return taken


def _take_one(step: Step, running: Running, failures: list[str]) -> Figures | None:
    try:
        return load.undisturbed(step.taking(running))
    except (OSError, TimeoutError, load.HandshakeRefused, psutil.Error, ZeroDivisionError) as error:
        failures.append(f"{step.measure}, {running.name}: {type(error).__name__}: {error}")
        return None
