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
from pathlib import Path
from types import FrameType

from proxy import metrics
from proxy.core.buckets import Bucket
from proxy.core.limits import Rate

logger = logging.getLogger(__name__)

TOLD = Rate(6, 60)
_MOST_FRAMES = 4
# One that lasts is told of before its end.
_LASTS_SECONDS = 5.0
_END_SECONDS = 1.0
_LIBRARIES = tuple(
    {sysconfig.get_path(name) + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


class SlowTurns:
    """Logs turns that took longer than `seconds`, at most six in a minute, and counts all of them.

    The loop beats twice in that time. Those of twice `seconds` are always seen, and of shorter ones some.
    """

    def __init__(self, *, seconds: float, lasts_seconds: float = _LASTS_SECONDS) -> None:
        self._seconds, self._lasts_seconds = seconds, lasts_seconds
        self._beat_seconds = seconds / 2
        self._beaten_at = 0.0
        self._told = Bucket(TOLD)
        self._untold = 0

    async def run(self) -> None:
        """Beat until cancelled. The thread that watches ends with it."""
        ended = threading.Event()
        loop_thread = threading.get_ident()
        self._beaten_at = time.monotonic()
        watching = threading.Thread(
            target=self._watch, args=(loop_thread, ended), name="slow-turns", daemon=True
        )
        watching.start()
        try:
            while True:
                await asyncio.sleep(self._beat_seconds)
                self._beaten_at = time.monotonic()
        finally:
            ended.set()
            watching.join(_END_SECONDS)

    def _watch(self, loop_thread: int, ended: threading.Event) -> None:
        """In the thread: `ended` wakes it for good."""
        while not ended.wait(self._beat_seconds):
            cpu_before, beaten_at = time.process_time(), self._beaten_at
            if self._overdue_seconds(beaten_at) > self._seconds:
                at = where(loop_thread)
                self._wait_for_the_end(beaten_at, ended)
                self._tell(at, self._overdue_seconds(beaten_at), time.process_time() - cpu_before)

    def _overdue_seconds(self, beaten_at: float) -> float:
        """How much later than asked the loop has beaten since, or beats not yet."""
        until = time.monotonic() if self._beaten_at == beaten_at else self._beaten_at
        return until - beaten_at - self._beat_seconds

    def _wait_for_the_end(self, beaten_at: float, ended: threading.Event) -> None:
        while self._beaten_at == beaten_at and self._overdue_seconds(beaten_at) < self._lasts_seconds:
            if ended.wait(self._beat_seconds):
                return

    def _tell(self, at: str, seconds: float, cpu_seconds: float) -> None:
        metrics.SLOW_TURNS_TOTAL.inc()
        if self._told.take(time.monotonic()) > 0:
            self._untold += 1
            return
        fields = {
            "milliseconds": round(seconds * 1000),
            "cpu_milliseconds": round(cpu_seconds * 1000),
            "at": at,
            "others_untold": self._untold,
        }
        logger.warning("a turn of the event loop was slow", extra=fields)
        self._untold = 0


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
