"""What a scrape is answered with: the metrics, computed no more often than a scraper has any use for."""

from __future__ import annotations

from proxy import metrics
from proxy.core.buckets import Bucket
from proxy.core.limits import Rate

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
            self._latest = metrics.exposition()
        return self._latest
