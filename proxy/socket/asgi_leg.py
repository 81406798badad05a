"""The client's leg, as ASGI shows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import LegClosed
from proxy.core.legs import Leg

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# Stock Daphne can send 1000 and 3000-4999 only. These stand in there for the codes it cannot; see
# docs/decisions/0003-close-codes-on-stock-daphne.md.


def substitute(close: Close) -> Close:
    """The close for a server that cannot send `close`'s code: 1011 becomes 4911, an empty one (1005) 4905."""
    return Close(4900 + close.code - 1000, close.reason)


async def send_close(send: Send, close: Close) -> None:
    """Close an accepted socket, with a code that this server can send; 1005 asks it for an empty close."""
    try:
        await send({"type": "websocket.close", "code": close.code, "reason": close.reason})
    except Exception:  # noqa: BLE001  stock Daphne raises a bare Exception for codes it will not send
        close = substitute(close)
        await send({"type": "websocket.close", "code": close.code, "reason": close.reason})


class AsgiLeg(Leg):
    """The client's side of a relayed link."""

    __slots__ = ("_early", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send, *, early: dict[str, Any] | None = None) -> None:
        """`early`: an event that was received before the accept."""
        self._receive, self._send, self._early = receive, send, early

    async def receive(self) -> str | bytes:
        early, self._early = self._early, None
        message = await self._receive() if early is None else early
        if message["type"] == "websocket.disconnect":
            # Only our own server says who; elsewhere the end of a relayed leg is the client's.
            raise LegClosed(close_of(message), by=message.get("sluicegate.closed_by", ClosedBy.CLIENT))
        text: str | None = message.get("text")
        body: str | bytes = message["bytes"] if text is None else text
        return body

    async def send(self, message: str | bytes) -> None:
        key = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", key: message})

    async def close(self, close: Close) -> None:
        await send_close(self._send, close)

    def abort(self) -> None:
        """ASGI has no way to drop a connection; the server's own deadline does it."""


def close_of(message: dict[str, Any]) -> Close:
    """Code and reason of a `websocket.disconnect`; servers that say None mean an empty close (1005)."""
    code = message.get("code")
    return Close(closes.NO_STATUS if code is None else code, message.get("reason") or "")
