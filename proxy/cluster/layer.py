"""channels-redis' Pub/Sub layer, able to change many groups in one command.

In a storm of connections each brings a subscription for its user: the hub asks for those of a round at once.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.exceptions import RedisError


class OutageInOneLine(logging.Filter):
    """Redis going away is no bug, as which each shard logs it; the hub says what it means."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RedisError | OSError):
            record.msg, record.args = f"{record.getMessage()}: {error!r}", ()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = record.exc_text = None
        return True


logging.getLogger("channels_redis.pubsub").addFilter(OutageInOneLine())


class GatewayChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels-redis has no types
    """The layer of the gateway. It reaches into the pinned release's loop layer and shards."""

    async def groups_add(self, groups: Sequence[str], channel: str) -> None:
        """`group_add` for many groups at once."""
        layer = self._get_layer()
        names = [layer._get_group_channel_name(group) for group in groups]
        for name in names:
            layer.groups.setdefault(name, set()).add(channel)
        for shard, own in _by_shard(layer, names):
            async with shard._lock:
                fresh = [name for name in own if name not in shard._subscribed_to]
                if fresh:
                    shard._ensure_redis()
                    shard._ensure_receiver()
                    await shard._pubsub.subscribe(*fresh)
                    shard._subscribed_to.update(fresh)

    async def groups_discard(self, groups: Sequence[str], channel: str) -> None:
        """`group_discard` for many groups at once."""
        layer = self._get_layer()
        empty = [name for group in groups if (name := _emptied(layer, group, channel)) is not None]
        for shard, own in _by_shard(layer, empty):
            async with shard._lock:
                gone = [name for name in own if name in shard._subscribed_to]
                if gone:
                    shard._ensure_redis()
                    await shard._pubsub.unsubscribe(*gone)
                    shard._subscribed_to.difference_update(gone)


def _emptied(layer: Any, group: str, channel: str) -> str | None:
    """Take `channel` out of `group`; the group's Redis channel if nobody is left in it."""
    name: str = layer._get_group_channel_name(group)
    members = layer.groups.get(name, set())
    members.discard(channel)
    if members:
        return None
    layer.groups.pop(name, None)
    return name


def _by_shard(layer: Any, names: Iterable[str]) -> Iterable[tuple[Any, list[str]]]:
    shards: dict[Any, list[str]] = defaultdict(list)
    for name in names:
        shards[layer._get_shard(name)].append(name)
    return shards.items()
