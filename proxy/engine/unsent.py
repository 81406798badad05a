"""What was written to a socket and has not reached the other end's machine yet."""

from __future__ import annotations

import asyncio
import fcntl
import termios

# A close is not cut off while so much of what came before it gets out in each close timeout, so many times.
PROGRESS_BYTES = 4096
MOST_TIMEOUTS = 12


def unsent_bytes(transport: asyncio.Transport) -> int:
    """What waits in the transport and, as far as the kernel says it, in the socket's own queue."""
    waiting = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    try:
        queue = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError, AttributeError):  # closed already, or not a socket
        return waiting
    return waiting + int.from_bytes(queue, "little")


def still_moves(unsent: int, before: int) -> bool:
    """Whether what is left deserves another timeout: it has become less, and not by a drip."""
    return 0 < unsent <= before - PROGRESS_BYTES


def finish(transport: asyncio.Transport) -> None:
    """End a socket whose time is up. What the kernel has of it still goes out, its close frame last."""
    if transport.get_write_buffer_size():
        transport.abort()
    else:
        transport.close()
