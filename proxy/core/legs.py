"""One end of a link that is read and written in whole messages: what a relay joins."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from proxy.core.closes import Close


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
