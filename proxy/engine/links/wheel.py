"""One clock for all links of a process, in place of several timers a link.

A wheel of slots, each a set of what is due in one tick of a tenth of a second. Moving something to another
slot, or taking it off, costs a set operation; ten thousand idle links cost one look at each every other
second.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.1
NOT_DUE = -1


class Due(Protocol):
    """Something with deadlines. `slot` belongs to the wheel; NOT_DUE while it is not on it."""

    slot: int

    def look(self, now: float) -> None:
        """Act on what is due at `now` (loop time), and schedule the next look. Must not raise."""

    def abort(self) -> None:
        """End at once: `look` has raised, and without a clock it would go on for good."""


class Wheel:
    """Calls `look` of what was scheduled, at most a tick late. Runs only while something is scheduled."""

    def __init__(self) -> None:
        self._slots: dict[int, set[Due]] = {}
        self._tick = 0  # the last one that was handled
        self._timer: asyncio.TimerHandle | None = None

    def schedule(self, due: Due, at: float) -> None:
        """Look at `due` at loop time `at`, in place of any other time."""
        self.forget(due)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._tick = int(loop.time() / TICK_SECONDS)
            self._timer = loop.call_later(TICK_SECONDS, self._turn)
        slot = max(int(at / TICK_SECONDS) + 1, self._tick + 1)
        waiting = self._slots.get(slot)
        if waiting is None:
            waiting = self._slots[slot] = set()
        waiting.add(due)
        due.slot = slot

    def forget(self, due: Due) -> None:
        """Take it off the wheel, if it is on it."""
        waiting = self._slots.get(due.slot)
        if waiting is not None:
            waiting.discard(due)
            if not waiting:
                del self._slots[due.slot]
        due.slot = NOT_DUE

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for slot in range(self._tick + 1, int(now / TICK_SECONDS) + 1):
            self._tick = slot
            for due in self._slots.pop(slot, ()):
                due.slot = NOT_DUE
                self._look(due, now)
        self._timer = loop.call_later(TICK_SECONDS, self._turn) if self._slots else None

    def _look(self, due: Due, now: float) -> None:
        try:
            due.look(now)
        except Exception:  # one link's fault must not stop the clock of all others
            logger.exception("looking after a link failed")
            due.abort()


_wheels: WeakKeyDictionary[asyncio.AbstractEventLoop, Wheel] = WeakKeyDictionary()


def running_wheel() -> Wheel:
    """The wheel that all links of the running event loop share."""
    loop = asyncio.get_running_loop()
    wheel = _wheels.get(loop)
    if wheel is None:
        wheel = _wheels[loop] = Wheel()
    return wheel
