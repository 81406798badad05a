"""Routes that only the benchmark has: a twin of the game route that looks into messages, and an echo."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from experience.routes import EXPERIENCE
from proxy.core import closes
from proxy.core.legs import Leg
from proxy.core.policies import FORWARD, Policy, Verdict
from proxy.core.routes import LegPerLink, Subject

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
    """Says back what it is told."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def receive(self) -> str | bytes:
        return await self._said.get()

    async def send(self, message: str | bytes) -> None:
        self._said.put_nowait(message)


async def open_echo(_: Subject) -> Leg:
    return EchoLeg()


INSPECTED = replace(
    EXPERIENCE, name="inspected", paths=("ws/inspected",), control=False, policy=lambda _: Objects()
)
ECHO = replace(EXPERIENCE, name="echo", paths=("ws/echo",), upstream=LegPerLink(name="echo", open=open_echo))
