"""Channels' layer in memory, for one process without Redis, with a store beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from channels.layers import InMemoryChannelLayer

from proxy.cluster.histories import Asked
from proxy.cluster.memory_store import MemoryStore
from proxy.cluster.store import Store
from proxy.core.history import Found, Position

T = TypeVar("T")


class MemoryChannelLayer(InMemoryChannelLayer):  # type: ignore[misc]  # Channels has no types
    """The layer of a gateway without Redis."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.store: Store = MemoryStore(self)
        self._home: asyncio.AbstractEventLoop | None = None

    async def receive(self, channel: str) -> dict[str, Any]:
        """As Channels'. All queues are at home where somebody receives."""
        self._home = asyncio.get_running_loop()
        received: dict[str, Any] = await super().receive(channel)
        return received

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """As Channels', from any thread."""
        await self.at_home(super().group_send(group, message))

    async def at_home(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done on the loop of who receives: neither a queue nor an event wakes another thread's."""
        home = self._home
        if home is None or not home.is_running() or home is asyncio.get_running_loop():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))

    async def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found:
        """What some topics remember behind `since`. What is joined is heard at once."""
        return await self.store.recover(asked, since=since, most_bytes=most_bytes)

    def deserialize(self, message: bytes) -> dict[str, Any]:
        """A signal as it is remembered."""
        signal: dict[str, Any] = json.loads(message)
        return signal
