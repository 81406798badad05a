"""Waiting for what others do: under a deadline, and whatever becomes of a cancellation or of a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class CancelledItself(RuntimeError):
    """A call was cancelled, and not by who made it: it has failed like any other."""


async def in_own_task(call: Awaitable[T]) -> T:
    """What `call` answers or raises. A cancellation of the caller's is one, and no other is.

    One that the call swallowed is raised after all: Python 3.11's `wait_for`, which redis-py writes with,
    forgets one that comes in the turn in which its write ends. Whoever called in a loop would then go on for
    good. One that the call makes up is CancelledItself: no task group takes a cancelled task for a failure.
    The task is the call's own since a group that fails leaves one behind in its task, for good.
    """
    caller, calling = asyncio.current_task(), asyncio.ensure_future(call)
    assert caller is not None  # noqa: S101  we are in a coroutine
    if isinstance(calling, asyncio.Task):
        calling.set_name(f"{caller.get_name()}:call")
    cancelled = caller.cancelling()
    try:
        return await calling
    except asyncio.CancelledError as error:
        if caller.cancelling() == cancelled:
            raise CancelledItself from error
        raise
    finally:
        if caller.cancelling() > cancelled:
            raise asyncio.CancelledError


async def call_within(seconds: float, call: Awaitable[T]) -> T:
    """As `in_own_task`, or TimeoutError."""
    async with asyncio.timeout(seconds):
        return await in_own_task(call)


def without_waiting(call: Coroutine[Any, Any, T]) -> T:
    """What a coroutine answers that waits for nothing: code that is not async can share it.

    Raises RuntimeError where it waits after all.
    """
    try:
        call.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    call.close()
    raise RuntimeError("it waits for something")


async def wait_at_most(seconds: float, waiting: Awaitable[object]) -> None:
    """Wait for that, and no longer than so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting


def in_own_thread(
    call: Callable[[], T], *, name: str, heard: Callable[[T], object] = lambda found: None
) -> asyncio.Future[T]:
    """What `call` answers, which may block and must not raise: an exception's traceback would be freed by the
    loop's collector. `heard` is called with it in the loop, in the turn in which the future is done.

    Its thread is a daemon that nobody joins, since a resolver may hang for half a minute. Raises RuntimeError
    where this machine has no thread left.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(found: T) -> None:
        heard(found)
        if not answer.done():
            answer.set_result(found)

    def run() -> None:
        found = call()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer
