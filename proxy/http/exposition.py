"""What a scrape is answered with: the metrics, computed no more often than a scraper has any use for."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess

from proxy.core.buckets import Bucket
from proxy.core.limits import Rate
from proxy.metrics import CONNECTIONS_INNER_NAME, CONNECTIONS_NAME

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


def exposition() -> bytes:
    """All metrics as Prometheus' text; of all workers where PROMETHEUS_MULTIPROC_DIR is set."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    text = generate_latest(registry)
    return text.replace(CONNECTIONS_INNER_NAME.encode(), CONNECTIONS_NAME.encode())
