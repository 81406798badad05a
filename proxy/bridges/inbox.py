"""What a broker has brought and links have yet to get: bounded, and delivered in turns of the loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import NoReturn

from django.conf import settings

from proxy import metrics
from proxy.core.bridging.payloads import WRAPPED, events_of
from proxy.work import Workplace

logger = logging.getLogger(__name__)

MOST_MESSAGES = 20_000
MOST_BYTES = 32 << 20
# Deliveries stop for others' turns after so long, and what is odd is logged so often at most.
_TURN_SECONDS = 0.002
_TELL_SECONDS = 60.0
_SHOWN_CHARS = 120


class Inbox:
    """A queue of the bridge `name`. When it is full, what comes is dropped, counted and logged, and the links
    of its topic are told that they missed something once the queue has been worked off.
    """

    def __init__(
        self, name: str, place: Workplace, *, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._name, self._place = name, place
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._waiting: deque[tuple[str, str, bytes]] = deque()
        self._bytes = 0
        self._missed = set[str]()  # topics of which something was dropped
        self._has_some, self._is_open, self._is_empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._is_open.set()
        self._is_empty.set()
        self._wrapped = _Complaint(name, "messages over a bridge are no events of ours, and are wrapped")
        self._too_large = _Complaint(name, "messages over a bridge are larger than an event, and are dropped")

    def put(self, topic: str, source: str, payload: bytes) -> None:
        """Have the links of `topic` hear what was published to `source`, soon; or drop it."""
        if len(payload) > settings.MAX_EVENT_BYTES:
            self._drop_too_large(topic, source, len(payload))
            return
        if len(self._waiting) >= self._most_messages or self._bytes + len(payload) > self._most_bytes:
            self._drop(topic)
            return
        self._waiting.append((topic, source, payload))
        self._bytes += len(payload)
        self._has_some.set()
        self._is_empty.clear()

    async def worked_off(self) -> None:
        """Returns once nothing waits. Who takes no more until then has nothing dropped."""
        await self._is_empty.wait()

    def hold(self) -> None:
        """Deliver nothing for now: links have to be told of a gap before they hear what came after it."""
        self._is_open.clear()

    def release(self) -> None:
        """Deliver again."""
        self._is_open.set()

    async def deliver_forever(self) -> NoReturn:
        """Deliver what waits, in its order, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._has_some.wait()
            await self._is_open.wait()
            turn_ends = clock() + _TURN_SECONDS
            while self._waiting and clock() < turn_ends:
                topic, source, payload = self._waiting.popleft()
                self._bytes -= len(payload)
                self._deliver(topic, source, payload)
            if not self._waiting:
                self._has_some.clear()
                self._is_empty.set()
                self._tell_missed()
            await asyncio.sleep(0)

    def _deliver(self, topic: str, source: str, payload: bytes) -> None:
        for event in events_of(payload, bridge=self._name, source=source):
            try:
                self._place.deliver(topic, event)
            except (
                ValueError
            ):  # a type of the gateway's own, or what no client's JSON holds: the next is wrapped
                continue
            if event["type"] == WRAPPED:
                self._count("wrapped")
                self._wrapped.tell(source)
            else:
                self._count("passed")
            return
        self._drop_too_large(topic, source, len(payload))  # it has grown as it was wrapped

    def _drop_too_large(self, topic: str, source: str, size_bytes: int) -> None:
        extra = {"bytes": size_bytes, "most_bytes": settings.MAX_EVENT_BYTES}
        self._too_large.tell(source, **extra)
        self._lose(topic)
        self._has_some.set()  # so that its links are told

    def _drop(self, topic: str) -> None:
        if not self._missed:
            extra = {"bridge": self._name, "waiting": len(self._waiting), "waiting_bytes": self._bytes}
            logger.warning("a bridge brings more than can be delivered, and drops", extra=extra)
        self._lose(topic)

    def _lose(self, topic: str) -> None:
        self._missed.add(topic)
        self._count("dropped")

    def _tell_missed(self) -> None:
        missed, self._missed = self._missed, set()
        if missed:
            self._place.resync(missed)

    def _count(self, outcome: str) -> None:
        metrics.child(metrics.BRIDGE_MESSAGES_TOTAL, self._name, outcome).inc()


class _Complaint:
    """Publishers may not know that what they send is no event; but they may send a lot of it."""

    def __init__(self, bridge: str, what: str) -> None:
        self._bridge, self._what = bridge, what
        self._since_told, self._told_at = 0, float("-inf")

    def tell(self, source: str, **more: int) -> None:
        """Log it, once in a while, with how often it was."""
        self._since_told += 1
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TELL_SECONDS:
            extra = {"bridge": self._bridge, "source": source[:_SHOWN_CHARS], "messages": self._since_told}
            logger.warning(self._what, extra=extra | more)
            self._since_told, self._told_at = 0, now
