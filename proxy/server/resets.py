"""Twisted's server side of a socket, for a loop that tells of an error once and then watches no more.

libuv reports a reset as a failed poll, however much was received before it. uvloop then runs the reader once,
with no word of the failure, and closes the poll. Twisted reads what had come and waits for more: nothing will
ever be told of that socket again, and asking the loop to watch it raises RuntimeError.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from twisted.internet import main, tcp

log = logging.getLogger("gateway.server")


class _NoticesResets:
    """Asks for the socket's error after each read and write; ends what the loop does not watch any more."""

    connected: bool
    socket: socket.socket

    def doRead(self) -> Any:
        return super().doRead() or self._failure()  # type: ignore[misc]

    def doWrite(self) -> Any:
        return super().doWrite() or self._failure()  # type: ignore[misc]

    def startReading(self) -> None:
        try:
            super().startReading()  # type: ignore[misc]
        except (OSError, RuntimeError) as error:
            self._give_up(error)

    def startWriting(self) -> None:
        try:
            super().startWriting()  # type: ignore[misc]
        except (OSError, RuntimeError) as error:
            self._give_up(error)

    def _failure(self) -> Any:
        """What doRead and doWrite answer for a connection that is lost, else None."""
        if self.connected and self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return main.CONNECTION_LOST
        return None

    def _give_up(self, error: Exception) -> None:
        log.info("connection ended: its socket cannot be watched", extra={"error": str(error)})
        self.abortConnection()  # type: ignore[attr-defined]


def noticing_resets(kind: type[tcp.Server]) -> type[tcp.Server]:
    """`kind`, which is what a port makes of each socket that it accepts, so that it hears of resets."""
    return type(kind.__name__, (_NoticesResets, kind), {})
