"""Telling the other instances what was said here: quickly, and no more than that, as they look themselves."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import NoReturn

import msgspec

from experience.chat.messages import ServiceMessage
from proxy.api import LayerAway, Publication, apublish_many

log = logging.getLogger(__name__)

MOST_AT_ONCE = 100
MOST_WAITING = 10_000


class Announcer:
    """Publishes in order, what waits together; what cannot be published is dropped, counted and logged."""

    def __init__(self, instance: str) -> None:
        """`instance` is who says it, and need not hear it."""
        self.instance = instance
        self._waiting: deque[Publication] = deque()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self.dropped = 0

    def announce(self, topic: str, message: ServiceMessage) -> None:
        """Never waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._drop(1, "too many wait")
            return
        self._waiting.append(Publication(topic, {**msgspec.to_builtins(message), "instance": self.instance}))
        self._idle.clear()
        self._wake.set()

    async def until_idle(self) -> None:
        """Returns once nothing waits and nothing is under way."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
                await self._publish(some)
            self._idle.set()

    async def _publish(self, some: list[Publication]) -> None:
        try:
            await apublish_many(some)
        except (LayerAway, ValueError) as error:
            self._drop(len(some), type(error).__name__)

    def _drop(self, count: int, why: str) -> None:
        if self.dropped == 0 or why != "too many wait":
            log.warning("other instances are not told, and will look", extra={"messages": count, "why": why})
        self.dropped += count
