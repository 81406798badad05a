"""A worker's line to its master: who leaves the listening socket that they share, and whether others stay."""

from __future__ import annotations

import asyncio
import socket

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

    async def others_accept(self, *, for_good: bool) -> bool:
        """Say that this worker leaves, and ask whether others stay; False also where no master answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.sock_sendall(self._socket, FOR_GOOD if for_good else FOR_NOW)
                return await loop.sock_recv(self._socket, 1) == OTHERS
        except OSError:  # its deadline, too
            return False
