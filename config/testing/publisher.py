"""A publisher outside of any gateway process, as a back-end service is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from proxy.cluster import signals
from proxy.cluster.publishing import encode_event
from proxy.core.topics import check_topic, group_name
from proxy.registry import topic_kinds


class Publisher:
    """Publishes over a channel layer of its own, to whatever gateways share the Redis at `url`."""

    def __init__(self, url: str) -> None:
        self._layer = RedisPubSubChannelLayer(hosts=[url], prefix="gateway")

    async def publish(self, topic: str, event: Mapping[str, Any]) -> None:
        signal = {**signals.event(encode_event(event)), "topic": check_topic(topic, topic_kinds())}
        await self._layer.group_send(group_name(topic), signal)

    async def close(self) -> None:
        await self._layer.flush()
