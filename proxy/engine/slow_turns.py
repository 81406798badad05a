"""Says what ran when one turn of the event loop took too long.

A thread looks whether the loop still beats, and where the loop's thread stands when it does not. So nothing
is paid for a callback, as debug mode does for each. What is told is files, functions, lines, and no value.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from proxy import metrics
from proxy.core.buckets import Bucket
from proxy.core.limits import Rate

logger = logging.getLogger(__name__)

TOLD = Rate(6, 60)
_MOST_FRAMES = 4
# One that lasts is told of before its end, too.
_LASTS_SECONDS = 5.0
_END_SECONDS = 1.0
_LIBRARIES = tuple(
    {sysconfig.get_path(name) + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


@dataclass(slots=True)
class Beat:
    """When the loop had its turn, and what its thread had computed by then. `then`: the next, if it came."""

    at: float
    cpu_seconds: float
    then: Beat | None = None


class SlowTurns:
    """Logs turns that took longer than `seconds`, at most six lines a minute, and counts all of them.

    The loop beats twice in that time. Those of twice `seconds` are always seen, and of shorter ones some.
    """

    def __init__(self, *, seconds: float, lasts_seconds: float = _LASTS_SECONDS) -> None:
        self._seconds, self._lasts_seconds = seconds, lasts_seconds
        self._beat_seconds = seconds / 2
        self._told = Bucket(TOLD)
        self._untold = 0

    async def run(self) -> None:
        """Beat until cancelled. The thread that watches ends with it."""
        ended = threading.Event()
        loop_thread = threading.get_ident()
        # Asked for here, since the thread is there for sure; a clock of one that has ended is an OSError.
        self._cpu_clock = time.pthread_getcpuclockid(loop_thread)
        self._beat = self._now()
        watching = threading.Thread(
            target=self._watch, args=(loop_thread, ended), name="slow-turns", daemon=True
        )
        watching.start()
        try:
            while True:
                await asyncio.sleep(self._beat_seconds)
                self._beat.then = beat = self._now()
                self._beat = beat
        finally:
            ended.set()
            watching.join(_END_SECONDS)

    def _now(self) -> Beat:
        return Beat(time.monotonic(), time.clock_gettime(self._cpu_clock))

    def _watch(self, loop_thread: int, ended: threading.Event) -> None:
        """In the thread: `ended` wakes it for good."""
        while not ended.wait(self._beat_seconds):
            beat = self._beat
            if self._since(beat)[0] > self._seconds:
                metrics.SLOW_TURNS_TOTAL.inc()
                self._follow(beat, where(loop_thread), ended)

    def _follow(self, beat: Beat, at: str, ended: threading.Event) -> None:
        """Tell of the turn behind `beat` at its end, and once before if it lasts."""
        lasts = told = False
        while beat.then is None and not ended.wait(self._beat_seconds):
            if not lasts and self._since(beat)[0] > self._lasts_seconds:
                lasts, told = True, self._tell(at, *self._since(beat))
        if not self._tell(at, *self._since(beat)) and not told:
            self._untold += 1

    def _since(self, beat: Beat) -> tuple[float, float]:
        """How much later than asked the next beat came, or does not come yet; and what was computed in it."""
        until = beat.then or self._now()
        late_seconds = until.at - beat.at - self._beat_seconds
        return late_seconds, min(until.cpu_seconds - beat.cpu_seconds, late_seconds)

    def _tell(self, at: str, seconds: float, cpu_seconds: float) -> bool:
        """Whether there was room for a line."""
        if self._told.take(time.monotonic()) > 0:
            return False
        fields = {
            "milliseconds": round(seconds * 1000),
            "cpu_milliseconds": round(cpu_seconds * 1000),
            "at": at,
            "others_untold": self._untold,
        }
        logger.warning("a turn of the event loop was slow", extra=fields)
        self._untold = 0
        return True


def where(thread: int) -> str:
    """Where that thread stands: its innermost frames that are of no library, behind that of the library.

    Nothing here waits, so that the thread does not go on meanwhile; and no frame is kept, since whatever it
    holds might be freed here, in the wrong thread.
    """
    frame = sys._current_frames().get(thread)
    frames = [(each.f_code.co_filename, each.f_lineno, each.f_code.co_name) for each in _outwards(frame)]
    del frame
    own = [each for each in frames if not each[0].startswith(_LIBRARIES)][:_MOST_FRAMES]
    innermost = frames[:1] if frames[:1] != own[:1] else []
    return " < ".join(f"{_short(path)}:{line} {function}" for path, line, function in innermost + own)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _short(path: str) -> str:
    """Without the directory that it was imported from."""
    roots = [root for root in sys.path if root and path.startswith(root.rstrip("/") + "/")]
    return str(Path(path).relative_to(max(roots, key=len))) if roots else Path(path).name
