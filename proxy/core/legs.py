"""One end of a link that is read and written in whole messages: what a relay joins."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from proxy.core.closes import Close, ClosedBy
from proxy.core.principal import Principal


class ClientSide(Protocol):
    """What a leg may do to the client that it is joined with, from the event loop and without waiting."""

    @property
    def buffered_bytes(self) -> int:
        """What waits for the client, which has yet to read what went before."""

    def push(self, message: str | bytes) -> None:
        """Send a whole message, behind all that waits. What waits is bounded by the route's outbox: beyond it
        the link ends with 1008, or the oldest is dropped, as the route says. Does nothing after the end."""

    def end(self, close: Close, by: ClosedBy) -> bool:
        """Close both ends. What was pushed before goes out first, unless the client does not keep up. False
        where the link has ended already."""


@runtime_checkable
class Leg(Protocol):
    """One end of a link. What a leg of a route's own need not say has a default, for who inherits it.

    `receive` and `send` raise LegClosed once this end has closed.
    """

    __slots__ = ()

    async def receive(self) -> str | bytes:
        """The next whole message. May be cancelled without loss."""
        raise NotImplementedError

    async def send(self, message: str | bytes) -> None:
        """Send one whole message; waits while the other end does not keep up."""
        raise NotImplementedError

    @property
    def subprotocol(self) -> str | None:
        """What this end has chosen of what the client offered."""
        return None

    @property
    def unsent_bytes(self) -> int:
        """What was sent and has not reached the other end's machine; 0 where nobody can tell."""
        return 0

    async def close(self, close: Close) -> None:
        """Send `close` and wait for the answer; the caller sets the deadline, or calls again."""
        return  # a type checker takes an empty body of a protocol for an abstract one

    def abort(self) -> None:
        """Drop what is left, at once. Called when any link has ended, also one that was never accepted."""
        return


@runtime_checkable
class PushingLeg(Leg, Protocol):
    """A leg that pushes what calls have told it: no task has to be woken for it, and messages share a write.

    `receive` is for what it says beside, and may be left out.
    """

    __slots__ = ()

    async def receive(self) -> str | bytes:
        """As a leg's; one that leaves it out is not asked."""
        raise AssertionError("a leg that only pushes is never asked")

    def joined(self, client: ClientSide) -> None:
        """The client is accepted, and may be pushed to. Called once, and not where the client left before."""
        raise NotImplementedError


@runtime_checkable
class RefreshedLeg(Protocol):
    """A leg that is told when its client has brought a new token of the same user."""

    def refreshed(self, principal: Principal) -> None:
        """The link lives as long as this principal's token now."""


def payload_bytes(message: str | bytes) -> int:
    """The size of a message on the wire, in bytes of payload."""
    if isinstance(message, str) and not message.isascii():
        return len(message.encode())
    return len(message)
