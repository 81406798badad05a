"""What HTTP may take of this process: connections, and applications that work on requests. Knows no Twisted.

A connection *waits* while no whole request has come: it says nothing, or drips, or is kept alive between two
requests, or does not read its answer. Those cost an attacker nothing, so the oldest gives way to newcomers.
A connection is *busy* from its request to the end of the answer. Upgrades leave at their head, so that no
number of slow requests keeps them out. All together have a bound of their own, which is what the server keeps
files for: there the oldest that is busy gives way, if none waits.

Answers that are streams of events are counted apart from their first byte on: pages that listen all day would
leave no room for requests.

An application counts until it ends, whether or not its client still waits: who counted connections would run
any number of applications, and threads, for a client that asks and hangs up.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from proxy.core.addresses import Network, address_key, is_trusted, parse_address
from proxy.core.buckets import Buckets
from proxy.core.errors import Overloaded, TooMany
from proxy.core.limits import Rate
from proxy.server.options import ServerOptions

# All that wait for an address's probes wake together: by then there are tokens for more than one of them.
LEAST_PROBE_WAIT_SECONDS = 0.25


class Connection(Protocol):
    """One TCP connection, as far as this book is concerned."""

    def give_way(self) -> None:
        """End at once."""


class HttpConnections:
    """The connections of one process, by the address that they come from."""

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


class HttpRequests:
    """The applications of one process, by the clients that proxies which we trust name.

    A proxy that does not tell, and a Unix socket, have no bound of their own.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._probes = Buckets(Rate(options.probes_per_second_per_address, 1))
        self._running: Counter[str] = Counter()
        self._streams = 0

    def refusal(self, address: str) -> TooMany | Overloaded | None:
        """Why the client at `address` may have no more now; "" is nobody's, and has no share to use up."""
        key, limit = self._key(address), self._options.max_http_requests_per_address
        if key and self._running[key] >= limit:
            return TooMany("http_per_ip", limit=limit, retry_after_seconds=1.0)
        return Overloaded() if self._running.total() >= self._options.max_http_requests else None

    def probe_wait_seconds(self, address: str, now: float) -> float:
        """Until the client at `address` may ask for another probe; 0 takes it. Never for ""."""
        key = self._key(address)
        wait_seconds = self._probes.take(key, now) if key else 0.0
        return max(wait_seconds, LEAST_PROBE_WAIT_SECONDS) if wait_seconds else 0.0

    def began(self, address: str) -> None:
        self._running[self._key(address)] += 1

    def ended(self, address: str) -> None:
        """To be called once for each `began`, with the same address."""
        key = self._key(address)
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]

    def began_stream(self, address: str) -> bool:
        """In place of a request that `began`. False where there are too many: it stays a request."""
        if self._streams >= self._options.max_http_streams:
            return False
        self._streams += 1
        self.ended(address)
        return True

    def ended_stream(self) -> None:
        """To be called once for each that could begin."""
        self._streams -= 1

    def _key(self, address: str) -> str:
        return share_key(address, self._options.trusted_proxies)


def share_key(host: str | None, proxies: tuple[Network, ...]) -> str:
    """Under what the client at `host` counts: all of IPv4, the /64 of IPv6; "" for a proxy, or nobody."""
    address = parse_address(host or "")
    return "" if address is None or is_trusted(address, proxies) else address_key(str(address))
