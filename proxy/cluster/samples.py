"""What nodes tell each other of what they do, once a second each: a stream in Redis, or a list in memory.

A node tells and forgets: while Redis is away nothing is kept, and the charts have a gap.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple, Protocol

from proxy.cluster.lines import Lines
from proxy.cluster.redis_store import told_as_away
from proxy.core.samples import Sample
from proxy.core.seconds import NodeSample
from proxy.engine.calls import wait_at_most
from proxy.engine.redis.commands import RedisCommands

STREAM = "gateway:samples"
# A quarter of an hour of 22 nodes, some 8 MB; of more nodes it is so much less time.
MOST_KEPT = 20_000
KEPT_SECONDS = 15 * 60
# Read at once: the loop is held for a millisecond.
AT_ONCE = 25


class Heard(NamedTuple):
    """What a node told of one second, and where that stands: what is behind it can be read from there on.

    `told` is None for what a later release has put there.
    """

    position: str
    told: NodeSample | None


class Samples(Protocol):
    """What one event loop tells and hears."""

    def tell(self, told: NodeSample) -> None:
        """Nobody waits for it."""

    async def read(self, behind: str, *, wait_seconds: float = 0.0) -> list[Heard]:
        """What stands behind a position, `AT_ONCE` at most; if there is nothing, what comes within so long.

        Raises LayerAway.
        """

    async def close(self) -> None:
        """Nobody reads any more."""


def position_of(at: float) -> str:
    """Before all that is told from then on; in Unix seconds."""
    return f"{int(at * 1000)}-0"


class ToldSamples:
    """Those that all nodes tell, for one who only reads. Whoever waits has a connection of its own, which
    `close` ends."""

    def __init__(self, url: str) -> None:
        self._lines = Lines(url)

    async def read(self, behind: str, *, wait_seconds: float = 0.0) -> list[Heard]:
        wait_ms = int(wait_seconds * 1000) or None
        with told_as_away():
            streams = await self._lines.read({STREAM: behind}, AT_ONCE, wait_ms)
        return [
            Heard(position.decode(), _told(position, fields))
            for _, entries in streams
            for position, fields in entries
        ]

    async def close(self) -> None:
        await self._lines.close()


class RedisSamples(ToldSamples):
    """Those of all nodes, for one of them."""

    def __init__(self, commands: RedisCommands, url: str) -> None:
        super().__init__(url)
        self._commands = commands

    def tell(self, told: NodeSample) -> None:
        fields = {
            "node": told.node_id,
            "name": told.name,
            "state": told.state,
            "sample": told.sample.encoded(),
        }
        words = (word for field in fields.items() for word in field)
        self._commands.tell("XADD", STREAM, "MAXLEN", "~", MOST_KEPT, "*", *words)


def _told(position: bytes, fields: Mapping[bytes, bytes]) -> NodeSample | None:
    """By Redis' clock, which is in the position."""
    try:
        sample = Sample.decoded(fields[b"sample"])
        node_id, name, state = (fields[word].decode() for word in (b"node", b"name", b"state"))
    except (KeyError, ValueError):
        return None
    told = NodeSample(node_id=node_id, name=name, state=state, sample=sample)
    return told.of_second(int(position.partition(b"-")[0]) / 1000)


class MemorySamples:
    """Those of this process, which is the only one."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, NodeSample]] = deque(maxlen=KEPT_SECONDS)
        self._came = asyncio.Event()

    def tell(self, told: NodeSample) -> None:
        heard_at = time.time()
        last_ms = self._kept[-1][0] if self._kept else 0
        self._kept.append((max(int(heard_at * 1000), last_ms + 1), told.of_second(heard_at)))
        self._came.set()

    async def read(self, behind: str, *, wait_seconds: float = 0.0) -> list[Heard]:
        if wait_seconds and not self._behind(behind):
            self._came.clear()
            await wait_at_most(wait_seconds, self._came.wait())
        return self._behind(behind)

    def _behind(self, position: str) -> list[Heard]:
        behind_ms = int(position.partition("-")[0])
        found = list(takewhile(lambda kept: kept[0] > behind_ms, reversed(self._kept)))[::-1]
        return [Heard(f"{ms}-0", told) for ms, told in found[:AT_ONCE]]

    async def close(self) -> None:
        """There is nothing to end."""
