"""The events of topics, for a process that is no gateway node: a service that has several instances, say."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable

from channels.layers import get_channel_layer
from django.conf import settings

from proxy.cluster.asking import Answering
from proxy.core.topics import check_topic, node_topic
from proxy.engine.deliveries import Listener
from proxy.engine.hub import Hub
from proxy.registry import topic_kinds


class EventPlane:
    """Brings what is published to topics to who listens here; publishing needs none.

    A listener has a method `inject(event)`, which is called on the event loop, must not block and must not
    raise; `event.text` is the JSON that was published. While Redis is away nothing is heard; nobody waits.
    """

    def __init__(self) -> None:
        layer = get_channel_layer()
        self._hub = Hub(layer, own_topic=node_topic(uuid.uuid4().hex))
        self._answering = Answering(layer.store)
        self._answering.listen(self._hub)

    @property
    def is_connected(self) -> bool:
        """Whether what other processes publish is heard now. Without REDIS_URL it never is."""
        return self._hub.connected and bool(settings.REDIS_URL)

    async def join(self, listener: Listener, topics: Iterable[str]) -> None:
        """Have it hear the topics. Once this returns it does, unless Redis is away.

        Raises:
            ValueError: one of them is no topic of any route.
        """
        kinds = topic_kinds()
        await self._hub.join(listener, [check_topic(topic, kinds) for topic in topics])

    def leave(self, listener: Listener, topics: Iterable[str]) -> None:
        """Have it hear them no more."""
        self._hub.leave(listener, topics)

    def on_gap(self, tell: Callable[[], object]) -> None:
        """Have `tell` called whenever events may have been lost."""
        self._hub.on_gap(tell)

    async def run(self) -> None:
        """Hear, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hub.run(), name="plane:hub")
            tasks.create_task(self._answering.run(), name="plane:answers")
