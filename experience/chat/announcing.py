"""Telling the other instances what was said here: quickly, and no more than that, as they look themselves."""

from __future__ import annotations

import logging

import msgspec

from experience.chat import service_counts
from experience.chat.batching import Batches
from experience.chat.messages import ServiceMessage
from proxy.api import LayerAway, Publication, apublish_many, child

log = logging.getLogger(__name__)

MOST_AT_ONCE = 100
TOO_LARGE = "larger than MAX_EVENT_BYTES"


class Announcer(Batches[Publication]):
    """Publishes in order, what waits together; what cannot be published is dropped, counted and logged."""

    def __init__(self, instance: str) -> None:
        """`instance` is who says it, and need not hear it."""
        super().__init__(self._publish, most_at_once=MOST_AT_ONCE)
        self.instance = instance
        self.dropped = 0
        self._complaint = ""  # logged once, until something is published again

    def announce(self, topic: str, message: ServiceMessage) -> None:
        """Never waits."""
        told = {**msgspec.to_builtins(message), "instance": self.instance}
        if not self.put(Publication(topic, told)):
            self._drop(1, "too many wait")

    async def _publish(self, some: list[Publication]) -> None:
        try:
            await apublish_many(some)
            self._complaint = self._complaint if self._complaint == TOO_LARGE else ""
            child(service_counts.ANNOUNCEMENTS_TOTAL, "published").inc(len(some))
        except LayerAway as error:
            self._drop(len(some), type(error).__name__)
        except ValueError:  # one of them is to blame, and nothing was published
            if len(some) == 1:
                self._drop(1, TOO_LARGE)
            else:
                for each in some:
                    await self._publish([each])

    def _drop(self, count: int, why: str) -> None:
        if why != self._complaint:
            told = {"messages": count, "why": why, "dropped_before": self.dropped}
            log.warning("other instances are not told, and will look", extra=told)
        self._complaint = why
        self.dropped += count
        child(service_counts.ANNOUNCEMENTS_TOTAL, "dropped").inc(count)
