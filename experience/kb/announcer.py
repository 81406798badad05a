"""Telling others of state changes, in order, without making the player wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger(__name__)

Publish = Callable[[str, dict[str, Any]], Awaitable[object]]
Announcement = tuple[str, dict[str, Any]]


class Announcer:
    """Publishes events one after another from a bounded queue.

    Events are a convenience, `get_state` is the truth: when the queue is full, or publishing fails or takes
    longer than `deadline_seconds`, the event is dropped, counted in `dropped`, and logged.
    """

    def __init__(self, publish: Publish, *, most_waiting: int = 1_000, deadline_seconds: float = 5.0) -> None:
        self._publish, self._deadline_seconds = publish, deadline_seconds
        self._queue: asyncio.Queue[Announcement | None] = asyncio.Queue(most_waiting)
        self.dropped = 0

    def announce(self, topic: str, event: dict[str, Any]) -> None:
        """Queue the event. Never waits."""
        try:
            self._queue.put_nowait((topic, event))
        except asyncio.QueueFull:
            self._drop("queue full")

    async def run(self) -> None:
        """Publish until `finish` is called, or until cancelled."""
        while (announcement := await self._queue.get()) is not None:
            await self._publish_one(*announcement)

    async def finish(self) -> None:
        """Let `run` end once all that is queued is published. A caller sets its own deadline."""
        await self._queue.put(None)

    async def _publish_one(self, topic: str, event: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await self._publish(topic, event)
        except Exception as error:  # noqa: BLE001  the outermost edge of publishing: any backend, any failure
            self._drop(type(error).__name__)

    def _drop(self, why: str) -> None:
        self.dropped += 1
        logger.warning("state change not announced", extra={"why": why, "dropped": self.dropped})
