"""The service's leg of a relayed link."""

from __future__ import annotations

from typing import NoReturn

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import LegClosed
from proxy.engine.unsent import unsent_bytes


class UpstreamLeg:
    """The service's side of a link, over a `websockets` client connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def is_open(self) -> bool:
        """Whether a `send` now would write; when it is False, nothing of the message goes out."""
        connection = self._connection
        return connection.state is State.OPEN and not connection.transport.is_closing()

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as ended:
            _raise_closed(ended)

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as ended:
            _raise_closed(ended)

    @property
    def unsent_bytes(self) -> int:
        return unsent_bytes(self._connection.transport)

    async def close(self, close: Close) -> None:
        self._connection.close_timeout = None  # else the library, too, cuts it off, whatever still moves
        if close.code == closes.NO_STATUS:
            # The public close() cannot say "no code"; the protocol's own can, and means an empty close frame.
            await self._connection.close(None)  # type: ignore[arg-type]
        else:
            await self._connection.close(close.code, close.reason)

    def abort(self) -> None:
        """Drop the TCP connection at once."""
        self._connection.transport.abort()


def _raise_closed(ended: ConnectionClosed) -> NoReturn:
    if ended.rcvd is not None and (ended.sent is None or ended.rcvd_then_sent):
        raise LegClosed(Close(ended.rcvd.code, ended.rcvd.reason), by=ClosedBy.UPSTREAM) from None
    if ended.sent is not None and ended.sent.code == closes.MESSAGE_TOO_BIG.code:
        raise LegClosed(closes.too_big(ClosedBy.UPSTREAM), by=ClosedBy.GATEWAY) from None
    if ended.sent is not None:  # the library closed it: a violation, or pings that were not answered
        raise LegClosed(closes.UPSTREAM_FAILED, by=ClosedBy.GATEWAY) from None
    raise LegClosed(closes.LOST, by=ClosedBy.UPSTREAM) from None
