"""What nodes share beside the channel layer's Pub/Sub: answers, turns, what topics remember,
and what one of them keeps for whoever takes it first.

Each channel layer of the gateway has one as its `store`: in Redis, or, for one process without it, in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from proxy.cluster.histories import Asked
from proxy.cluster.questions import Answers, Place, Question
from proxy.cluster.scrolls import Entry
from proxy.cluster.shipments import Shipment
from proxy.core.history import Found, Position


class Store(Protocol):
    """Calls raise LayerAway where Redis is away, refuses a command, or has not answered in two seconds; or
    could not be asked in two, since others were before.
    """

    async def ask(self, questions: Sequence[Question]) -> list[Answers]:
        """Send each to its group, in this order, and wait a moment for what the nodes there answer."""

    def ask_sync(self, questions: Sequence[Question]) -> list[Answers]:
        """`ask` for code that is not async."""

    async def answer(self, said: Mapping[Place, str]) -> None:
        """Bring answers to where they are asked for."""

    async def take_turn(self, who: str) -> bool:
        """Whether `who` is the one that ships events, for some seconds from now."""

    async def end_turn(self, who: str) -> None:
        """Let others ship at once, if it is the turn of `who`."""

    async def ship(self, shipments: Sequence[Shipment], *, who: str) -> bool:
        """Publish each, in this order, and have nobody answer. False: it is not the turn of `who`; none was.

        What was in the call before this one is not published again. Where it raises, it may have shipped.
        """

    async def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found:
        """What some topics remember behind `since`; nothing for None."""

    def keep_sync(self, key: str, value: bytes, *, seconds: int) -> None:
        """Keep it for so long, for whoever takes it first; for code that is not async."""

    async def take(self, key: str) -> bytes | None:
        """What is kept there, and no more from now on; None: nothing is, or another was first."""

    async def append(self, key: str, text: str, *, most: int, seconds: int) -> None:
        """Add a text to a scroll: it keeps as many as `most`, the last ones, for so long behind the last."""

    async def read(self, key: str, behind: str, *, wait_seconds: float) -> list[Entry]:
        """What stands in a scroll behind a position ("0-0": all), if need be after waiting so long for it."""

    def read_sync(self, key: str) -> list[Entry]:
        """All that stands in a scroll; for code that is not async."""

    def nudge_sync(self, group: str, signal: Mapping[str, Any]) -> None:
        """Send a signal that may be lost, for code that must not wait. Never raises; none in an outage."""
