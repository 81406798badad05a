"""How many files this process may open, and how many links fit into that."""

from __future__ import annotations

import resource

from proxy.server.options import ServerOptions

# A proxied link is two sockets.
FILES_PER_LINK = 2
# Stores, probes, logs, the loop itself, dials under way.
RESERVED_FILES = 200
# More than any node uses; where the system knows no bound.
MOST_FILES = 1 << 20


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, for this process and its children; answers it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


def links_that_fit(files: int) -> int:
    """How many links `files` allow beside the HTTP connections of a server; 0 or less: none."""
    http = ServerOptions().most_http_connections
    return (files - http - RESERVED_FILES) // FILES_PER_LINK
