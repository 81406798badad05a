"""The gateway's own way to the database: one thread, one connection, a deadline on everything.

Django's own asynchronous paths share one thread per process with every other sync call, and a hop per query.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import queue
import threading
import traceback
from collections.abc import Callable
from itertools import chain
from typing import Any, ParamSpec, TypeVar

from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    reset_queries,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from proxy import metrics

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

# PostgreSQL itself gives a statement up, sooner a lock; what it does not answer at all is given up here.
STATEMENT_SECONDS = 4.0
LOCK_SECONDS = 2.0
# A process that is frozen in the middle of a transaction holds what others wait for: no longer than this.
TRANSACTION_IDLE_SECONDS = 10.0
SILENCE_SECONDS = 5.0
CLOSE_SECONDS = 2.0
# A thread that hangs is left behind and another takes its place; so many, then calls fail until one ends.
MOST_STUCK_THREADS = 4
# Calls that wait, those that were given up meanwhile included; further ones fail at once.
MOST_WAITING = 1_000
READ_ONLY_SQLSTATE, GIVEN_UP_SQLSTATE, IDLE_SQLSTATE = "25006", "57014", "25P03"


class DatabaseBusy(OperationalError):
    """So many calls wait already that this one was refused: nothing of it was begun."""


class DatabaseExecutor:
    """Runs synchronous database work on one thread of its own, a call at a time, in order.

    `timeout_seconds` bounds the wait for an answer. A thread that hangs for so long is replaced, and what it
    still does then happens beside later work. Threads are daemons: none holds up the end of the process.
    """

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        bound_waits()
        self._timeout_seconds = timeout_seconds
        self._thread = _Thread()
        self._stuck: list[_Thread] = []
        self._refuses = False

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on the thread and answer what it returns, which must be plain values.

        What it raises comes without traceback and cause: they hold cursors, and a cursor of SQLite that the
        event loop's garbage collector frees waits while the connection is busy. A note has the lines.

        Raises:
            TimeoutError: no answer in time; work that was begun may still take effect.
            DatabaseBusy: too many calls wait.
            django.db.Error: and whatever else `work` raises.
        """
        self._check_waiting()
        call = _Call(functools.partial(work, *args, **kwargs))
        thread = self._thread
        thread.calls.put(call)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer: T = await call.answer
        except TimeoutError:
            if thread is self._thread and thread.busy_seconds(call.loop) >= 0.9 * self._timeout_seconds:
                self._replace_thread()
            raise
        return answer

    async def close(self) -> None:
        """Close the connection and end the thread, without waiting for work that hangs."""
        ended = self._thread.end()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await ended
        except TimeoutError:
            log.warning("database: the connection did not close in time")

    def _check_waiting(self) -> None:
        """Raises DatabaseBusy. Logged once until nobody waits any more."""
        waiting = self._thread.calls.qsize()
        if waiting < MOST_WAITING:
            self._refuses = self._refuses and waiting > 0
            return
        metrics.DATABASE_REFUSED_TOTAL.inc()
        if not self._refuses:
            log.warning("database: too many calls wait, more are refused", extra={"waiting": waiting})
        self._refuses = True
        raise DatabaseBusy(f"{waiting} calls wait for the database already")

    def _replace_thread(self) -> None:
        self._stuck = [thread for thread in self._stuck if thread.is_alive]
        if len(self._stuck) >= MOST_STUCK_THREADS:
            return
        log.warning("database: a call hangs, another thread goes on", extra={"stuck": len(self._stuck) + 1})
        self._stuck.append(self._thread)
        self._thread = self._thread.leave()


class _Call:
    """One piece of work and the future of its answer. Made on the event loop that waits for it."""

    def __init__(self, work: Callable[[], Any] | None) -> None:
        self.work = work  # None: close the connection
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self.loop.create_future()

    def settle(self, value: object, error: Exception | None) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._settle, value, error)

    def _settle(self, value: object, error: Exception | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(value)
        else:
            self.answer.set_exception(error)


class _Thread:
    """A daemon thread that carries calls out, in order."""

    def __init__(self, calls: queue.SimpleQueue[_Call] | None = None) -> None:
        self.calls: queue.SimpleQueue[_Call] = queue.SimpleQueue() if calls is None else calls
        self._begun_at: float | None = None
        self._thread = threading.Thread(target=self._serve, name="database", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def busy_seconds(self, loop: asyncio.AbstractEventLoop) -> float:
        """For how long the call that it is at has been going on; 0 when it is at none."""
        begun_at = self._begun_at
        return 0.0 if begun_at is None else loop.time() - begun_at

    def end(self) -> asyncio.Future[None]:
        """End after the calls that wait; done when the connection is closed."""
        last = _Call(None)
        self.calls.put(last)
        return last.answer

    def leave(self) -> _Thread:
        """A successor for the calls that wait; this one ends with the call that it hangs in."""
        waiting, self.calls = self.calls, queue.SimpleQueue()
        self.end()
        return _Thread(waiting)

    def _serve(self) -> None:
        ended = False
        while not ended:
            call = self.calls.get()
            ended = call.work is None
            if not call.answer.done():  # or it was given up while it waited
                self._begun_at = call.loop.time()
                call.settle(*_answer(call))
                self._begun_at = None
            del call  # or this frame would keep it until the next one comes


def _answer(call: _Call) -> tuple[object, Exception | None]:
    try:
        if call.work is None:
            connections.close_all()
            return None, None
        close_old_connections()
        reset_queries()  # with DEBUG, Django keeps the last 9,000 statements with all that was in them
        connection.ensure_connection()
        connection.close_at = None  # it lives as long as this thread, whatever CONN_MAX_AGE is
        if call.answer.done():  # given up while we connected: whoever asked may have asked again
            return None, None
        value = call.work()
        close_old_connections()
    except Exception as error:  # noqa: BLE001  whatever the work raises is for who asked for it
        return None, _bare(error)
    return value, None


def _bare(error: Exception) -> Exception:
    """`error` with its traceback as a note in place of all that refers to frames, which are emptied here."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)))
    chain: list[BaseException] = [error]
    for link in chain:
        traceback.clear_frames(link.__traceback__)
        chain.extend(cause for cause in (link.__cause__, link.__context__) if cause is not None)
        link.__traceback__ = link.__cause__ = link.__context__ = None
    return error


def away(error: Error) -> str:
    """One line that says so, for staff: what is wrong, without the rest of what the server said."""
    return f"the database is away ({' '.join(str(error).split())[:200]})"


def bound_waits() -> None:
    """From now on, no statement of this process, in any thread, waits for its database for long.

    For processes that serve, and for staff's commands; a migration may take as long as it needs.
    """
    from proxy.tables.postgres import BoundedConnection

    BoundedConnection.silence_seconds = SILENCE_SECONDS
    connection_created.connect(_bound, dispatch_uid="proxy.tables.executor")


def _bound(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    if connection.vendor == "postgresql":
        _limit_session(connection)
        if _leave_read_only not in connection.execute_wrappers:
            connection.execute_wrappers.append(_leave_read_only)
    elif connection.vendor == "sqlite" and _close_failed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_close_failed)


def _limit_session(connection: BaseDatabaseWrapper) -> None:
    """Tell the server, once a connection however often the pool gives it out."""
    seconds = {
        "statement_timeout": STATEMENT_SECONDS,
        "lock_timeout": LOCK_SECONDS,
        "idle_in_transaction_session_timeout": TRANSACTION_IDLE_SECONDS,
    }
    if getattr(connection.connection, "limits", None) == seconds:
        return
    told = [(name, str(round(limit * 1000))) for name, limit in seconds.items()]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(['set_config(%s, %s, false)'] * len(told))}", [*chain(*told)])
    connection.connection.limits = seconds


def _close_failed(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Close the cursor of a failed statement in its own thread: freed elsewhere, it would wait there.

    An error holds its frames, they hold the cursor, and the error of a page crosses to the event loop.
    """
    try:
        return execute(sql, params, many, context)
    except Error:
        context["cursor"].close()
        raise


def is_away(error: Exception) -> bool:
    """Also when it is an old primary, which takes no writes: the next connection may lead to the new one; and
    when it has ended the session of a process that was frozen."""
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return isinstance(error, Error) and sqlstate_of(error) in (READ_ONLY_SQLSTATE, IDLE_SQLSTATE)


def is_read_only(error: Error) -> bool:
    """Whether PostgreSQL took a statement for a write and itself for read-only."""
    return sqlstate_of(error) == READ_ONLY_SQLSTATE


def took_too_long(error: Error) -> bool:
    """Whether PostgreSQL is there, and gave a statement up after STATEMENT_SECONDS."""
    return sqlstate_of(error) == GIVEN_UP_SQLSTATE


def sqlstate_of(error: Error) -> str | None:
    """What PostgreSQL calls it; None for what it has not said."""
    return getattr(error.__cause__, "sqlstate", None)


def _leave_read_only(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Close the connection to a server that takes no writes, and those that wait in the pool.

    After a failover that ended no connection they lead to the old primary; new ones find the new one.
    """
    try:
        return execute(sql, params, many, context)
    except Error as error:
        if is_read_only(error):
            django_connection = context["connection"]
            if django_connection.pool is not None:
                django_connection.pool.drain()
            django_connection.connection.close()
        raise
