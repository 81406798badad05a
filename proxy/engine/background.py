"""Long-lived work of the process: named, supervised, restarted after a crash, ended together."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
from collections.abc import Awaitable, Callable

from proxy import metrics
from proxy.core import backoff

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_CLEAN_UP_SECONDS = 1.0


Work = Callable[[], Awaitable[None]]


class Background:
    """Owns the process's background tasks. A crash is logged and counted, and the work restarted."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Work) -> None:
        """Run `work()` until it returns or `stop()`. Raises ValueError if other work of that name runs."""
        if name in self._tasks and not self._tasks[name].done():
            raise ValueError(f"background work {name!r} already runs")
        self._tasks[name] = asyncio.create_task(self._supervise(name, work), name=f"background:{name}")

    async def _supervise(self, name: str, work: Work) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        waits = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
        while True:
            started = loop.time()
            try:
                return await work()
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise  # it is the end of the work, and not of something that it waited for
                logger.exception("background work crashed", extra={"work": name})
                metrics.child(metrics.BACKGROUND_CRASHES_TOTAL, name).inc()
            if loop.time() - started > _STEADY_SECONDS:
                waits = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
            await asyncio.sleep(backoff.jittered(next(waits), fraction=0.2, random=random.random()))  # noqa: S311

    async def stop(self, *, deadline_seconds: float = 5.0) -> None:
        """Cancel all work and wait for it, at most `deadline_seconds`.

        What goes on is cancelled again after a second in which it may clean up, and named: see `call_within`.
        """
        late: set[asyncio.Task[None]] = set(self._tasks.values())
        self._tasks.clear()
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        while late and asyncio.get_running_loop().time() < deadline:
            for task in late:
                if task.cancelling():
                    logger.warning("background work is cancelled again", extra={"work": task.get_name()})
                task.cancel()
            _, late = await asyncio.wait(late, timeout=min(_CLEAN_UP_SECONDS, deadline_seconds))
        for task in late:
            logger.error("background work did not end in time", extra={"work": task.get_name()})


def end_for_sure(status: int, *, within_seconds: float) -> None:
    """Have this process end with `status`, whatever its threads are at.

    At its end Python joins those of every executor, and one may wait for a database that has gone silent.
    """
    timer = threading.Timer(within_seconds, os._exit, [status])
    timer.daemon = True
    timer.start()
