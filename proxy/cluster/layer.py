"""channels-redis' Pub/Sub layer, able to change many groups in one command, with a store beside it.

In a storm of connections each brings a subscription for its user: the hub asks for those of a round at once.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer
from channels_redis.utils import _wrap_close
from redis.exceptions import RedisError

from proxy.cluster.histories import Asked, Pongs
from proxy.cluster.lines import Lines
from proxy.cluster.questions import SEND_SECONDS, LayerAway
from proxy.cluster.redis_store import RedisStore, told_as_away
from proxy.cluster.store import Store
from proxy.core.history import Found, Position
from proxy.core.wording import in_words
from proxy.engine.calls import in_own_task
from proxy.engine.hub import LOST


class OutageInOneLine(logging.Filter):
    """Redis going away is no bug, as which each shard logs it; the hub says what it means."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RedisError | OSError):
            record.msg, record.args = f"{record.getMessage()}: {in_words(error)}", ()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = record.exc_text = None
        return True


logging.getLogger("channels_redis.pubsub").addFilter(OutageInOneLine())


class _LoopLayer(RedisPubSubLoopLayer):  # type: ignore[misc]  # channels-redis has no types
    """What an event loop has of a layer; our own connections with it."""

    def __init__(self, *args: Any, channel_layer: GatewayChannelLayer, **kwargs: Any) -> None:
        super().__init__(*args, channel_layer=channel_layer, **kwargs)
        self.lines = Lines(channel_layer.url)

    async def flush(self) -> None:
        await self.lines.close()
        await super().flush()


class GatewayChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels-redis has no types
    """The layer of the gateway. It reaches into the pinned release's loop layer and shards."""

    def __init__(self, *args: Any, hosts: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        """`hosts` is one: what is asked, and answered, is in one Redis."""
        super().__init__(*args, hosts=hosts, **kwargs)
        (host,) = hosts
        self.url: str = host["address"]
        self.store: Store = RedisStore(host, serialize=self.serialize, lines=lambda: self._get_layer().lines)

    def _get_layer(self) -> _LoopLayer:
        """That of the event loop that runs; it ends with it."""
        loop = asyncio.get_running_loop()
        layer: _LoopLayer | None = self._layers.get(loop)
        if layer is None:
            layer = self._layers[loop] = _LoopLayer(*self._args, **self._kwargs, channel_layer=self)
            _wrap_close(self, loop)
        return layer

    async def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found:
        """What some topics remember behind `since`, once Redis has taken every subscription until now: what
        is published after that is heard. Raises LayerAway.
        """
        await self._confirm()
        return await self.store.recover(asked, since=since, most_bytes=most_bytes)

    async def _confirm(self) -> None:
        """Redis answers a connection in order, so behind its answer to this all subscriptions stand."""
        layer = self._get_layer()
        shard, word = layer._shards[0], uuid.uuid4().hex
        pongs = layer.channels.setdefault(None, Pongs())  # what the shard hears that is of no channel
        with told_as_away(), pongs.expect(word) as answered:
            async with asyncio.timeout(SEND_SECONDS):
                async with shard._lock:
                    if shard._pubsub is None:
                        raise LayerAway("nothing is subscribed to")
                    await in_own_task(shard._pubsub.ping(word))
                await answered

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
                    shard._pubsub.connection.register_connect_callback(self._is_there_again)
                    shard._subscribed_to.update(fresh)

    async def _is_there_again(self, _: object) -> None:
        """redis-py has connected anew by itself: who hears is to know that something may be lost."""
        mark = self.serialize({"type": LOST})
        for name, waiting in self._get_layer().channels.items():
            if name is not None:
                waiting.put_nowait(mark)

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
