"""A worker's line to its master: who accepts from the socket that they share, who leaves, who stays."""

from __future__ import annotations

import asyncio
import contextlib
import socket

# What a worker says once it accepts.
SERVES = b"s"
# What a worker says as it begins to drain: it ends for good, or a successor is to come.
FOR_GOOD, FOR_NOW = b"g", b"n"
# What the master answers: others go on accepting, or nobody does, and the master has let go of the socket.
OTHERS, NOBODY = b"o", b"-"
ANSWER_SECONDS = 1.0


class Line:
    """The worker's end."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)

    def serves(self) -> None:
        """Say that this worker accepts."""
        with contextlib.suppress(OSError):  # the master has gone: who lost it drains
            self._socket.send(SERVES)

    async def others_accept(self, *, for_good: bool) -> bool:
        """Say that this worker leaves, and ask whether others stay; False also where no master answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.sock_sendall(self._socket, FOR_GOOD if for_good else FOR_NOW)
                return await loop.sock_recv(self._socket, 1) == OTHERS
        except OSError:  # its deadline, too
            return False
