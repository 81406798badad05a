"""Routes that only the benchmark has: a twin of the game route that looks into messages, an echo, and a room
whose topic remembers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace

from experience.routes import EXPERIENCE
from proxy.api import (
    FORWARD,
    History,
    Leg,
    LegPerLink,
    Policy,
    Subject,
    TopicKind,
    Verdict,
)
from proxy.core import closes

INVALID = Verdict(forward=False, close=closes.INVALID_DATA)


class Objects(Policy):
    """Does what the cheapest useful one would: parses each message, both ways, and lets JSON objects pass."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return _judged(payload)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return _judged(payload)


def _judged(payload: bytes) -> Verdict:
    try:
        fields = json.loads(payload)
    except ValueError:
        return INVALID
    return FORWARD if isinstance(fields, dict) else INVALID


class EchoLeg(Leg):
    """Says back what it is told. An asyncio.Queue in its place would weigh 3.3 KB a link more."""

    __slots__ = ("_said", "_waiter")

    def __init__(self) -> None:
        self._said: list[str | bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    async def receive(self) -> str | bytes:
        while not self._said:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._said.pop(0)

    async def send(self, message: str | bytes) -> None:
        self._said.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


FORGETFUL = TopicKind("forgetful")
REMEMBERING = TopicKind("remembering", history=History(events=1_000, seconds=3_600))


def topics_of_room(_: Subject) -> Iterable[str]:
    return (FORGETFUL("room"), REMEMBERING("room"))


async def open_echo(_: Subject) -> Leg:
    return EchoLeg()


INSPECTED = replace(
    EXPERIENCE, name="inspected", paths=("ws/inspected",), control=False, policy=lambda _: Objects()
)
ECHO = replace(
    EXPERIENCE,
    name="echo",
    control=False,
    paths=("ws/echo",),
    upstream=LegPerLink(name="echo", open=open_echo),
)
ROOM = replace(
    EXPERIENCE,
    name="room",
    control=False,
    paths=("ws/room",),
    topics=topics_of_room,
    topic_kinds=(FORGETFUL, REMEMBERING),
)
