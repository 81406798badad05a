"""Runs what has work of its own, for as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

RUN_SECONDS = 50.0


class Works(Protocol):
    async def run(self) -> Any: ...


W = TypeVar("W", bound=Works)


@asynccontextmanager
async def running(works: W) -> AsyncIterator[W]:
    """It runs inside, for RUN_SECONDS at most; raises TimeoutError."""
    task = asyncio.create_task(works.run())
    try:
        async with asyncio.timeout(RUN_SECONDS):
            yield works
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
