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
from proxy.core.hook_failures import is_end
from proxy.engine.calls import in_own_task

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_CLEAN_UP_SECONDS = 1.0
# What threads that hang, in a library or for a database, may take once all is stopped.
EXIT_SECONDS = 5.0


Work = Callable[[], Awaitable[None]]


class Background:
    """Owns the process's background tasks. A crash is logged and counted, and the work restarted."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends_last: set[str] = set()

    def start(self, name: str, work: Work, *, ends_last: bool = False) -> None:
        """Run `work()` until it returns or `stop()`; `ends_last`: others need it until their own end.

        Raises ValueError if other work of that name runs.
        """
        if name in self._tasks and not self._tasks[name].done():
            raise ValueError(f"background work {name!r} already runs")
        if ends_last:
            self._ends_last.add(name)
        metrics.child(metrics.BACKGROUND_CRASHES_TOTAL, name)  # told as 0, or nobody would see the first one
        self._tasks[name] = asyncio.create_task(self._supervise(name, work), name=f"background:{name}")

    async def _supervise(self, name: str, work: Work) -> None:
        loop = asyncio.get_running_loop()
        waits = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
        while True:
            started = loop.time()
            try:
                return await in_own_task(work())
            except asyncio.CancelledError as end:
                if isinstance(end.__context__, Exception):
                    logger.error("background work failed at its end", exc_info=end, extra={"work": name})
                raise
            except BaseException as error:
                if is_end(error):
                    raise
                logger.exception("background work crashed", extra={"work": name})
                metrics.child(metrics.BACKGROUND_CRASHES_TOTAL, name).inc()
            if loop.time() - started > _STEADY_SECONDS:
                waits = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
            await asyncio.sleep(backoff.jittered(next(waits), fraction=0.2, random=random.random()))  # noqa: S311

    async def stop(self, *, deadline_seconds: float = 5.0) -> None:
        """Cancel all work and wait for it, at most `deadline_seconds`.

        What goes on is cancelled again after a second in which it may clean up, and named: see `in_own_task`.
        """
        tasks, self._tasks = self._tasks, {}
        last = {task for name, task in tasks.items() if name in self._ends_last}
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        late = await _end(set(tasks.values()) - last, deadline - _CLEAN_UP_SECONDS if last else deadline)
        late |= await _end(last, deadline)
        for task in late:
            logger.error("background work did not end in time", extra={"work": task.get_name()})


async def _end(tasks: set[asyncio.Task[None]], deadline: float) -> set[asyncio.Task[None]]:
    """Cancel them until they have ended; those that have not by `deadline`, on the loop's clock."""
    loop, late, left = asyncio.get_running_loop(), tasks, 1.0
    while late and left > 0:
        for task in late:
            if task.cancelling():
                logger.warning("background work is cancelled again", extra={"work": task.get_name()})
            task.cancel()
        seconds = max(0.0, min(_CLEAN_UP_SECONDS, deadline - loop.time()))
        _, late = await asyncio.wait(late, timeout=seconds)
        left = deadline - loop.time()
    return late


def end_for_sure(status: int, *, within_seconds: float = EXIT_SECONDS) -> None:
    """Have this process end with `status`, whatever its threads are at.

    At its end Python joins those of every executor, and one may wait for a database that has gone silent.
    """
    timer = threading.Timer(within_seconds, os._exit, [status])
    timer.daemon = True
    timer.start()
