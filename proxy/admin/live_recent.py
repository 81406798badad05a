"""How fast links were that Live shows: what this process has told its pages of them lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock

# Nodes write a row's counters every five seconds, and a line has so many points.
EVERY_SECONDS = 5.0
MOST_POINTS = 25
# What has not been shown for so long is of another time.
FORGOTTEN_SECONDS = 30.0


class Recent:
    """Of each link that is shown, when it had counted how much. `clock` is any that only goes on, in seconds.

    It knows those that were shown lately, twenty a page, and nothing of all others: no query, and nothing
    that nodes keep. Views run in threads, one at a time here.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._lock = Lock()

    def note(self, counted: Mapping[str, int]) -> dict[str, str]:
        """What was shown of each before, as `seconds ago:counted` with blanks between, the oldest first."""
        now = self._clock()
        with self._lock:
            for key in [key for key, seen in self._seen.items() if now - seen[-1][0] > FORGOTTEN_SECONDS]:
                del self._seen[key]
            return {key: self._noted(key, count, now) for key, count in counted.items()}

    def _noted(self, key: str, count: int, now: float) -> str:
        seen = self._seen.setdefault(key, deque(maxlen=MOST_POINTS))
        told = " ".join(f"{now - at:.1f}:{counted}" for at, counted in seen)
        if not seen or now - seen[-1][0] >= EVERY_SECONDS:
            seen.append((now, count))
        return told
