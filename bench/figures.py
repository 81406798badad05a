"""Figures: what a stretch of time cost, percentiles, what went astray. A name ends in its unit."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from bench.load import Link
from bench.running import Running

Figures = dict[str, float]


class Spent(NamedTuple):
    """Seconds: by the clock, and CPU of the proxy, of the service behind it, of Redis, of the load."""

    elapsed: float
    proxy: float
    service: float
    redis: float
    load: float


class Meter:
    """Reads, from when it is made, what all that takes part spends, each apart."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._began = self._read()

    def _read(self) -> Spent:
        """CPU first: it takes some milliseconds to read, and what they cost is the load's."""
        of_others = (self._running.cpu_seconds(), *self._running.cpu_seconds_beside())
        return Spent(time.perf_counter(), *of_others, time.process_time())

    def spent(self) -> Spent:
        return Spent(*(now - then for now, then in zip(self._read(), self._began, strict=True)))

    def of(self, count: int) -> Figures:
        """What each of `count` cost. Raises ZeroDivisionError: there was none."""
        spent = self.spent()
        return {
            "per_second": count / spent.elapsed,
            "cpu_us": spent.proxy / count * 1e6,
            "service_cpu_us": spent.service / count * 1e6,
            "redis_cpu_us": spent.redis / count * 1e6,
            "proxy_busy_share": spent.proxy / spent.elapsed,
            "service_busy_share": spent.service / spent.elapsed,
            "redis_busy_share": spent.redis / spent.elapsed,
            "load_busy_share": spent.load / spent.elapsed,
        }


def percentiles(seconds: Iterable[float]) -> Figures:
    """p50, p99, p99.9 and the most in milliseconds; empty when there is nothing."""
    ordered = array("d", sorted(seconds))
    if not ordered:
        return {}
    at = {"p50_ms": 0.50, "p99_ms": 0.99, "p999_ms": 0.999, "most_ms": 1.0}
    return {
        name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3 for name, share in at.items()
    }


def astray(links: list[Link]) -> Figures:
    """What was sent and has not come, and what came out of its turn."""
    return {
        "sent": sum(link.sent for link in links),
        "unanswered": sum(link.sent - link.received for link in links),
        "disordered": sum(link.disordered for link in links),
    }
