"""Nodes that hear events and answer, on channel layers of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from proxy.cluster.asking import Answering
from proxy.cluster.tests.hearing import hear_events
from proxy.core.topics import node_topic
from proxy.engine.hub import Hub


class Node:
    """The part of a node that hears events and answers, on a layer of its own."""

    def __init__(self, layer: Any, name: str, *, answers: bool = True) -> None:
        self.hub = Hub(layer, own_topic=node_topic(name), echo_seconds=0.2)
        self._answering = Answering(layer.store)
        self._answering.listen(self.hub)
        if not answers:
            hear_events(self.hub)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hub.run())
            tasks.create_task(self._answering.run())


StartNode = Callable[..., Awaitable[Node]]
