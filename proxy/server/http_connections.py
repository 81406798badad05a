"""Who holds the connections that speak HTTP, and who gives way when there are too many. Knows no Twisted.

A connection *waits* while no whole request has come: it says nothing, or drips, or is kept alive between two
requests, or does not read its answer. Those cost an attacker nothing, so the oldest gives way to newcomers.
A connection is *busy* from its request to the end of the answer. Upgrades leave at their head, so that no
number of slow requests keeps them out. All together have a bound of their own, which is what the server keeps
files for: there the oldest that is busy gives way, if none waits. How many applications run is another book's
(`http_requests`).
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from proxy.core.addresses import Network, address_key, is_trusted, parse_address
from proxy.server.options import ServerOptions


class Connection(Protocol):
    """One TCP connection, as far as this book is concerned."""

    def give_way(self) -> None:
        """End at once."""


class HttpConnections:
    """The book of one process. Addresses are counted whole for IPv4, by their /64 for IPv6."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._waiting: dict[Connection, str] = {}  # oldest first, each with its address key
        self._busy: dict[Connection, str] = {}  # likewise
        self._held: Counter[str] = Counter()
        self.given_way = 0

    def arrive(self, connection: Connection, host: str | None) -> bool:
        """Enter a new connection of `host`, None for a Unix socket. False if it may not stay."""
        options = self._options
        key = share_key(host, options.trusted_proxies)
        if key and self._held[key] >= options.max_http_connections_per_address and not self._oust(key):
            return False
        if len(self._waiting) >= options.max_http_connections:
            self._oust(None)
        held = len(self._waiting) + len(self._busy)
        if held >= options.most_http_connections and not self._oust(None):
            self._end(next(iter(self._busy)))
        self._waiting[connection] = key
        self._held[key] += 1
        return True

    def began_request(self, connection: Connection) -> None:
        key = self._waiting.pop(connection, None)
        if key is not None:
            self._busy[connection] = key

    def ended_request(self, connection: Connection) -> None:
        """It waits again, as the youngest."""
        key = self._busy.pop(connection, None)
        if key is not None:
            self._waiting[connection] = key

    def leave(self, connection: Connection) -> None:
        """It is closed, or speaks HTTP no more. A second time changes nothing."""
        key = self._waiting.pop(connection, None)
        if key is None:
            key = self._busy.pop(connection, None)
        if key is not None:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    def _oust(self, key: str | None) -> bool:
        """End the oldest that waits, of the address `key` or (None) of all; False if none waits."""
        for connection, its_key in self._waiting.items():
            if key is None or its_key == key:
                self._end(connection)
                return True
        return False

    def _end(self, connection: Connection) -> None:
        self.leave(connection)
        self.given_way += 1
        connection.give_way()


def share_key(host: str | None, proxies: tuple[Network, ...]) -> str:
    """Under what the client at `host` counts; "" for who has no bound of its own: a proxy, or nobody."""
    address = parse_address(host or "")
    return "" if address is None or is_trusted(address, proxies) else address_key(str(address))
