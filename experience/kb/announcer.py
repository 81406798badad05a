"""Telling others of state changes, in order, without making the player wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

Publish = Callable[[str, dict[str, Any]], Awaitable[object]]


class Change(NamedTuple):
    """Whose state changed, and which of its versions that is."""

    experience: str
    user_id: str
    version: int


Announcement = tuple[str, dict[str, Any], Change]


class Announcer:
    """Publishes events one after another from a bounded queue.

    Nobody waits for them: when the queue is full, or publishing fails or takes longer than
    `deadline_seconds`, the event is dropped, counted in `dropped`, and logged (reminder.py sees to the rest).
    """

    def __init__(self, publish: Publish, *, most_waiting: int = 1_000, deadline_seconds: float = 5.0) -> None:
        self._publish, self._deadline_seconds = publish, deadline_seconds
        self._queue: asyncio.Queue[Announcement | None] = asyncio.Queue(most_waiting)
        self._announced: list[Change] = []
        self._is_publishing = False
        self.dropped = 0

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and nothing is on its way."""
        return self._queue.empty() and not self._is_publishing

    def take_announced(self) -> list[Change]:
        """What has been published since this was called last."""
        announced, self._announced = self._announced, []
        return announced

    def announce(self, topic: str, event: dict[str, Any], change: Change) -> None:
        """Queue the event. Never waits."""
        try:
            self._queue.put_nowait((topic, event, change))
        except asyncio.QueueFull:
            self._drop("queue full")

    async def run(self) -> None:
        """Publish until `finish` is called, or until cancelled."""
        while (announcement := await self._queue.get()) is not None:
            await self._publish_one(*announcement)

    async def finish(self) -> None:
        """Let `run` end once all that is queued is published. A caller sets its own deadline."""
        await self._queue.put(None)

    async def _publish_one(self, topic: str, event: dict[str, Any], change: Change) -> None:
        self._is_publishing = True
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await self._publish(topic, event)
            self._announced.append(change)
        except Exception as error:  # noqa: BLE001  the outermost edge of publishing: any backend, any failure
            self._drop(type(error).__name__)
        finally:
            self._is_publishing = False

    def _drop(self, why: str) -> None:
        self.dropped += 1
        logger.warning("state change not announced", extra={"why": why, "dropped": self.dropped})
