"""The listening socket, and the loop: both have to be there before anything else is."""

from __future__ import annotations

import asyncio
import socket

BACKLOG = 4096


def install_uvloop() -> None:
    """Make uvloop what the next event loop is made of. Call it before `daphne.server` is imported."""
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one.

    IPv6 addresses are those with a colon; `::` takes IPv4 clients as well, where the system can do that.
    """
    both = host == "::" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


def adopt(fd: int) -> socket.socket:
    """The socket behind an inherited file descriptor, listening with our backlog from now on."""
    listening = socket.socket(fileno=fd)
    listening.listen(BACKLOG)
    return listening
