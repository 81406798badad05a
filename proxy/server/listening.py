"""The loop, the listening socket, files enough: what has to be there before anything else is."""

from __future__ import annotations

import asyncio
import resource
import socket

from proxy.server.options import ServerOptions

BACKLOG = 4096
# A proxied link is two sockets.
FILES_PER_LINK = 2
# Stores, probes, logs, the loop itself, dials under way.
RESERVED_FILES = 200
# More than any node uses; where the system knows no bound.
MOST_FILES = 1 << 20


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


def most_files() -> int:
    """How many files a process started from here may have open, once its limit is raised."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, for this process and its children; answers it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = most_files()
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


def links_that_fit(files: int) -> int:
    """How many links `files` allow beside the HTTP connections of a server; 0 or less: none."""
    return (files - _other_files()) // FILES_PER_LINK


def files_for(links: int) -> int:
    """How many files so many links need, and all that is open beside them."""
    return links * FILES_PER_LINK + _other_files()


def _other_files() -> int:
    return ServerOptions().most_http_connections + RESERVED_FILES
