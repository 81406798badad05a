"""The order of a run: each measure in rounds, and in each round every contender in turn.

A noisy minute of the machine then hits all of them alike; medians over the rounds are what is reported.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil

from bench import load, measures
from bench.contenders import DIRECT, Running
from bench.fanout import fanout
from bench.measures import Figures
from bench.profiles import Profile

GATEWAYS = ("splice", "workers")
WORST = ("disordered", "unanswered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One measure: `taking(running)` is a coroutine that returns its figures."""

    measure: str
    rounds: int
    of: Callable[[Running], bool]
    taking: Callable[[Running], Coroutine[Any, Any, Figures]]


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


def steps(profile: Profile, *, redis_url: str) -> list[Step]:
    """Memory first, on proxies that have just started; then what needs rounds."""
    return [*_memory(profile), *_traffic(profile), *_connections(profile), *_events(profile, redis_url)]


def _one_core(running: Running) -> bool:
    return not running.contender.both_cores


def _proxies(running: Running) -> bool:
    return running.child is not None and _one_core(running)


def _among(*names: str) -> Callable[[Running], bool]:
    return lambda running: running.name in names


def _memory(profile: Profile) -> Iterable[Step]:
    def counts(running: Running) -> tuple[int, ...]:
        return profile.idle_links_of_splice if running.name == "splice" else profile.idle_links

    def taking(running: Running) -> Coroutine[Any, Any, Figures]:
        return measures.idle_links(running, counts=counts(running))

    yield Step(measure="idle", rounds=1, of=_proxies, taking=taking)


def _traffic(profile: Profile) -> Iterable[Step]:
    links = profile.round_trip_links
    for size in profile.sizes_bytes:
        yield Step(
            measure=f"round_trip_{size}",
            rounds=profile.rounds if size == 200 else profile.other_size_rounds,
            of=_one_core,
            taking=partial(
                measures.round_trips, links=links, size_bytes=size, seconds=profile.round_trip_seconds
            ),
        )
    for rate in profile.open_loop_rates:
        yield Step(
            measure=f"open_loop_{rate}",
            rounds=1,
            of=_one_core,
            taking=partial(measures.open_loop, links=links, rate=rate, seconds=profile.open_loop_seconds),
        )
    yield Step(
        measure="paced",
        rounds=1,
        of=_among(DIRECT, "nginx", "splice", "inspected", "fastapi"),
        taking=partial(
            measures.open_loop,
            links=profile.paced_links,
            rate=profile.paced_rate,
            seconds=profile.paced_seconds,
        ),
    )


def _connections(profile: Profile) -> Iterable[Step]:
    yield Step(
        measure="connections",
        rounds=profile.connection_rounds,
        of=lambda _: True,
        taking=partial(
            measures.new_connections, count=profile.connections, at_once=profile.connections_at_once
        ),
    )
    for measure, count, names in (
        ("held", profile.held_links, ("splice",)),
        ("crowd", profile.crowd_links, (DIRECT, "workers")),
    ):
        if count:
            taking = partial(measures.held_links, count=count, rate=count / 2, seconds=profile.paced_seconds)
            yield Step(measure=measure, rounds=1, of=_among(*names), taking=taking)


def _events(profile: Profile, redis_url: str) -> Iterable[Step]:
    yield Step(
        measure="fanout",
        rounds=1,
        of=_among(*GATEWAYS),
        taking=partial(fanout, redis_url=redis_url, links=profile.fanout_links, events=profile.fanout_events),
    )


def take(todo: list[Step], contenders: list[Running]) -> Taken:
    """Do it all. A contender that fails a measure is left out of it, and the failure is kept in words."""
    taken = Taken()
    for step in todo:
        began = time.monotonic()
        chosen = [running for running in contenders if step.of(running)]
        by_contender = taken.rounds.setdefault(step.measure, {})
        for _ in range(step.rounds):
            for running in chosen:
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
