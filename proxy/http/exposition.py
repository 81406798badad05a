"""What a scrape is answered with: the metrics, computed no more often than a scraper has any use for."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.metrics_core import Metric

from proxy.core.buckets import Bucket
from proxy.core.limits import Rate
from proxy.metrics import CONNECTIONS_INNER_NAME, CONNECTIONS_NAME

CONTENT_TYPE = CONTENT_TYPE_LATEST

# One computation holds the loop for milliseconds, more with many workers, and anybody may ask.
COMPUTED = Rate(10, 5)


class Exposition:
    """Prometheus' text: fresh for whoever asks calmly; in a flood of scrapes half a second old."""

    def __init__(self) -> None:
        self._bucket = Bucket(COMPUTED)
        self._latest = b""

    def text(self, now: float) -> bytes:
        """`now` is on a clock that never goes back."""
        if self._bucket.take(now) == 0.0:
            self._latest = exposition()
        return self._latest


class _Contracted:
    """Collects from another registry, giving the live gauge its contracted name."""

    def __init__(self, inner: CollectorRegistry) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            if metric.name == CONNECTIONS_INNER_NAME:
                metric.name = CONNECTIONS_NAME
                metric.samples = [sample._replace(name=CONNECTIONS_NAME) for sample in metric.samples]
            yield metric

    def describe(self) -> list[Metric]:
        return []  # the names are known to the inner registry, and two of them would seem to clash


def exposition() -> bytes:
    """All metrics as Prometheus' text; of all workers where PROMETHEUS_MULTIPROC_DIR is set."""
    inner = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        inner = CollectorRegistry()
        multiprocess.MultiProcessCollector(inner)  # type: ignore[no-untyped-call]
    outer = CollectorRegistry()
    outer.register(_Contracted(inner))
    return generate_latest(outer)
