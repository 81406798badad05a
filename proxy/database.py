"""The gateway's own way to the database: one thread, one connection, a deadline on everything.

Django's own asynchronous paths share one thread per process with every other sync call, and a hop per query.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connection, connections

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class DatabaseExecutor:
    """Runs synchronous database work on one thread of its own, a call at a time, in order.

    `timeout_seconds` bounds both the wait for an answer and, on PostgreSQL, each statement, so that a call
    that was given up does not hold up the next one for long.
    """

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._prepared: object = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on the thread and answer what it returns.

        Raises:
            TimeoutError: no answer in time; the work may still take effect, before any that is run later.
            django.db.Error: and whatever else `work` raises.
        """
        call = functools.partial(self._run, functools.partial(work, *args, **kwargs))
        async with asyncio.timeout(self._timeout_seconds):
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def close(self) -> None:
        """Close the connection and end the thread, without waiting for work that hangs."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await asyncio.get_running_loop().run_in_executor(self._threads, connections.close_all)
        except TimeoutError:
            log.warning("database: the connection did not close in time")
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], T]) -> T:
        close_old_connections()
        try:
            self._prepare()
            return work()
        finally:
            close_old_connections()

    def _prepare(self) -> None:
        """Once a connection: have the server itself give up a statement after the deadline."""
        connection.ensure_connection()
        if connection.vendor == "postgresql" and connection.connection is not self._prepared:
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = %s", [round(self._timeout_seconds * 1000)])
            self._prepared = connection.connection
