"""What a spliced leg tells and asks whoever has joined it with another."""

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
    """Who has joined two legs."""

    loop: asyncio.AbstractEventLoop
    terms: Terms

    @property
    def ended(self) -> object | None:
        """None while the link lives."""

    def judged(self, leg: LegT_contra, message: Message) -> bytes:
        """The frames in which a whole message that was let in goes on; b"" if it does not."""

    def take_control(self, payload: bytes) -> None:
        """A control message of the client."""

    def over_rate(self, leg: LegT_contra, gate: MessageGate, *, messages: int, size_bytes: int) -> None:
        """`gate` has refused messages of `leg`, which went no further."""

    def stream_ended(self, leg: LegT_contra, ended: Close | Violation) -> None:
        """A close frame or a violation came from `leg`."""

    def stream_lost(self, leg: LegT_contra) -> None:
        """`leg` was lost before a close frame came from it."""

    def unanswered(self, leg: LegT_contra) -> None:
        """`leg` has not answered our pings."""

    def too_slow(self, leg: LegT_contra) -> None:
        """`leg` has taken nothing for too long."""

    def leg_gone(self, leg: LegT_contra) -> None:
        """The socket of `leg` is closed."""
