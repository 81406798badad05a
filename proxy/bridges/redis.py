"""The Pub/Sub of the gateway's own Redis as a broker, heard over the node's one connection to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from proxy import metrics
from proxy.bridges.bridge import JOIN_SECONDS, lead, resumed
from proxy.bridges.inbox import Inbox
from proxy.core.bridging.channels import BridgedChannel
from proxy.core.topics import EVERYONE, TopicKind
from proxy.engine.redis.subscriber import Subscriber, Subscription
from proxy.work import NodeWork, Workplace

logger = logging.getLogger(__name__)


def bridge_redis(name: str, bridged: Sequence[BridgedChannel]) -> NodeWork:
    """The background work of a node that brings what is published in its Redis (see `run_on_every_node`)."""
    lead(name, {each.kind for each in bridged}, needs_redis=True)

    async def work(place: Workplace) -> None:
        if place.subscriber is None:
            logger.error("a bridge from Redis leads nowhere: REDIS_URL is unset", extra={"bridge": name})
        else:
            await bridging(place)

    def made(place: Workplace, lost: Collection[str]) -> RedisBridge:
        assert place.subscriber is not None  # noqa: S101  the work asks first
        return RedisBridge(name, bridged, place, place.subscriber, lost=lost)

    bridging = resumed(made)
    return work


class RedisBridge:
    """A TopicWatcher that listens to the channels of the topics that links hear.

    The subscriber comes back by itself, and tells of each loss. It is there while somebody listens:
    until then nothing is missed.
    """

    def __init__(
        self,
        name: str,
        bridged: Sequence[BridgedChannel],
        place: Workplace,
        subscriber: Subscriber,
        *,
        lost: Collection[str] = (),
    ) -> None:
        """`lost`: topics of which something is missing, as their links are told once it hears them again."""
        self.topics, self._lost = set[str](), set(lost)
        self._bridged, self._place, self._subscriber = bridged, place, subscriber
        self._inbox = Inbox(name, place)
        self._listeners: dict[str, list[_Listener]] = {}
        self._missed = set[str]()
        self._deaf = set[_Listener]()
        self._connected = metrics.child(metrics.BRIDGE_CONNECTED, name)

    async def run(self) -> None:
        """Until cancelled."""
        kinds = {each.kind for each in self._bridged}
        self._connected.set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                if EVERYONE in kinds:  # a kind of its own that no watcher is told of
                    tasks.create_task(self.first_joined((EVERYONE,)), name="bridge:everyone")
                watched = [TopicKind(kind) for kind in kinds - {EVERYONE}]
                tasks.create_task(self._place.watch(self, watched), name="bridge:watch")
                tasks.create_task(self._inbox.deliver_forever(), name="bridge:deliver")
        finally:
            self.topics = set(self._listeners)
            await self.last_left(tuple(self._listeners))

    async def first_joined(self, topics: Sequence[str]) -> None:
        """Returns once Redis has confirmed, or when that takes too long."""
        listeners = [listener for topic in topics for listener in self._listen(topic)]
        if listeners and not self._subscriber.is_away:
            await asyncio.wait([listener.begun for listener in listeners], timeout=JOIN_SECONDS)
        for listener in listeners:
            if not listener.begun.done():
                listener.lost()

    async def last_left(self, topics: Sequence[str]) -> None:
        for topic in topics:
            for listener in self._listeners.pop(topic, ()):
                listener.close()
                self.hears(listener)

    def _listen(self, topic: str) -> list[_Listener]:
        made = self._listeners[topic] = []
        for each in self._bridged:
            name = each.channel_of(topic)
            if name is not None:
                listener = _Listener(topic, self._inbox, self, has_missed=topic in self._lost)
                listener.subscription = self._subscriber.listen(name, listener, is_pattern=each.is_pattern)
                made.append(listener)
        self._lost.discard(topic)
        return made

    def hears(self, listener: _Listener) -> None:
        """It does, or nobody wants it to any more. The bridge is deaf as long as one of them is."""
        self._deaf.discard(listener)
        self._connected.set(not self._deaf)

    def hears_nothing(self, listener: _Listener) -> None:
        """Until it is confirmed again."""
        self._deaf.add(listener)
        self._connected.set(0)

    def missed(self, topic: str) -> None:
        """Its links may have missed something, and hear again. Those of all topics of this turn are told at
        once, and before they hear more."""
        if not self._missed:
            self._inbox.hold()
            asyncio.get_running_loop().call_soon(self._tell_missed)
        self._missed.add(topic)

    def _tell_missed(self) -> None:
        missed, self._missed = self._missed, set()
        self._place.resync(missed)
        self._inbox.release()


class _Listener:
    """Hears one channel for one topic."""

    def __init__(self, topic: str, inbox: Inbox, bridge: RedisBridge, *, has_missed: bool) -> None:
        self._topic, self._inbox, self._bridge = topic, inbox, bridge
        self.subscription: Subscription | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_missed = has_missed

    def heard(self, channel: bytes, payload: bytes) -> None:
        self._inbox.put(self._topic, channel.decode(errors="replace"), payload)

    def confirmed(self) -> None:
        self._bridge.hears(self)
        if not self.begun.done():
            self.begun.set_result(None)
        if self.has_missed:
            self.has_missed = False
            self._bridge.missed(self._topic)

    def lost(self) -> None:
        self._bridge.hears_nothing(self)
        self.has_missed = True

    def close(self) -> None:
        if self.subscription is not None:
            self.subscription.close()
