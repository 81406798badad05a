"""An event loop for dialogues: it calls what is due, and no time passes but what a test lets pass."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any


class Clock(asyncio.AbstractEventLoop):
    """As much of a loop as legs and their wheel ask for. What a callback raises, the test sees."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._ready: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = count()

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        due = self._now + delay
        handle = asyncio.TimerHandle(due, callback, args, self, context)
        heapq.heappush(self._later, (due, next(self._number), handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise context["exception"]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None: ...

    # --- For the test -----

    def turn(self) -> None:
        """One turn of the loop: call what was ready as it began."""
        while self._later and self._later[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._later)[2])
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def wait(self, seconds: float = 0.0) -> None:
        """Let time pass, and call what is due meanwhile, until nothing is left to do then."""
        until = self._now + seconds
        while True:
            self.turn()
            if self._ready:
                continue
            if not self._later or self._later[0][0] > until:
                break
            self._now = max(self._now, self._later[0][0])
        self._now = until
