"""A product with a bridge: what Redis publishes on `outside:TOPIC` comes to the links that hear TOPIC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from redis.asyncio import Redis

from config.tests.contract.room_route import route_of
from proxy.api import TopicKind, Workplace, run_on_every_node

PREFIX = "outside:"
ROOM = TopicKind("room")


class Subscriptions:
    """Subscribes to what links of this node hear, and to nothing else."""

    def __init__(self, subscriber: Any) -> None:
        self._subscriber = subscriber

    async def first_joined(self, topics: Sequence[str]) -> None:
        await self._subscriber.subscribe(*(PREFIX + topic for topic in topics))

    async def last_left(self, topics: Sequence[str]) -> None:
        await self._subscriber.unsubscribe(*(PREFIX + topic for topic in topics))


async def bridge(node: Workplace) -> None:
    """Until it is cancelled, or a message cannot be read."""
    async with Redis.from_url(settings.REDIS_URL) as redis, redis.pubsub() as subscriber:
        await subscriber.subscribe(f"{PREFIX}bridge")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(node.watch(Subscriptions(subscriber), [ROOM]), name="bridge:watch")
            async for message in subscriber.listen():
                if message["type"] == "message":
                    topic = message["channel"].decode().removeprefix(PREFIX)
                    node.deliver(topic, json.loads(message["data"]))


run_on_every_node("bridge", bridge)

ROUTES = (route_of(ROOM),)
