"""Long-lived work of the process: named, supervised, restarted after a crash, ended together."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from proxy.core import backoff

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_STEADY_SECONDS = 60.0


class Background:
    """Owns the process's background tasks. A crash is logged, told to `on_crash`, and the work restarted."""

    def __init__(self, *, on_crash: Callable[[str], None] = lambda name: None) -> None:
        self._on_crash = on_crash
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work()` until it returns or `stop()`. `name` labels logs and metrics.

        Raises:
            ValueError: other work of that name runs.
        """
        if name in self._tasks and not self._tasks[name].done():
            raise ValueError(f"background work {name!r} already runs")
        self._tasks[name] = asyncio.create_task(self._supervise(name, work), name=f"background:{name}")

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        waits = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
        while True:
            started = loop.time()
            try:
                return await work()
            except Exception:
                logger.exception("background work crashed", extra={"work": name})
                self._on_crash(name)
            if loop.time() - started > _STEADY_SECONDS:
                waits = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
            await asyncio.sleep(backoff.jittered(next(waits), fraction=0.2, random=random.random()))  # noqa: S311

    async def stop(self, *, deadline_seconds: float = 5.0) -> None:
        """Cancel all work and wait for it, at most `deadline_seconds`."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_seconds)
            for task in late:
                logger.error("background work did not end in time", extra={"work": task.get_name()})
