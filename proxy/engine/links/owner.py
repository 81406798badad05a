"""What a spliced leg tells and asks of the splice that has joined it with another."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from proxy.core.closes import Close
from proxy.core.message_gate import MessageGate
from proxy.core.wire.headers import Violation
from proxy.core.wire.messages import Message
from proxy.engine.links.terms import Terms

LegT_contra = TypeVar("LegT_contra", contravariant=True)


class Owner(Protocol[LegT_contra]):
    """Who has joined two legs; `ended` is None while the link lives."""

    loop: asyncio.AbstractEventLoop
    terms: Terms

    @property
    def ended(self) -> object | None: ...
    def judged(self, leg: LegT_contra, message: Message) -> bytes: ...
    def take_control(self, payload: bytes) -> None: ...
    def over_rate(self, leg: LegT_contra, gate: MessageGate, *, messages: int, size_bytes: int) -> None: ...
    def stream_ended(self, leg: LegT_contra, ended: Close | Violation) -> None: ...
    def stream_lost(self, leg: LegT_contra) -> None: ...
    def unanswered(self, leg: LegT_contra) -> None: ...
    def too_slow(self, leg: LegT_contra) -> None: ...
    def leg_gone(self, leg: LegT_contra) -> None: ...
