"""One answer for many who ask for the same: thirty open pages cost little more than one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock

KEPT_SECONDS = 1.0


class Shared:
    """Keeps what was made for each key, for a second. `clock` is any that only goes on, in seconds.

    Keys are few: nothing is ever forgotten. Who asks while it is made waits for that.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._turn = clock, Lock()
        self._made: dict[Hashable, tuple[float, str]] = {}

    def get(self, key: Hashable, make: Callable[[], str]) -> str:
        """What `make` answered lately, or answers now. Raises what it raises; then nothing is kept."""
        with self._turn:
            at, text = self._made.get(key, (float("-inf"), ""))
            if self._clock() - at >= KEPT_SECONDS:
                at = self._clock()
                text = make()
                self._made[key] = (at, text)
            return text
