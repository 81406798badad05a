"""Calls of a library that may lose a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def call_within(seconds: float, call: Awaitable[T]) -> T:
    """What `call` answers, within `seconds`; a cancellation that it swallowed is raised after all.

    Python 3.11's `wait_for`, which redis-py writes with, forgets one that comes in the turn in which its
    write ends. Whoever called in a loop would then go on for good.

    Raises:
        TimeoutError, CancelledError, and what the call raises.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  we are in a coroutine
    cancelled = task.cancelling()  # of which a task group that failed leaves one behind
    try:
        async with asyncio.timeout(seconds):
            return await call
    finally:
        if task.cancelling() > cancelled:
            raise asyncio.CancelledError
