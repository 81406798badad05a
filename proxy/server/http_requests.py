"""How many applications work on HTTP requests, for whom, and whether one more may begin. Knows no Twisted."""

from __future__ import annotations

from collections import Counter

from proxy.core.buckets import Buckets
from proxy.core.errors import Overloaded, TooMany
from proxy.core.limits import Rate
from proxy.server.http_connections import share_key
from proxy.server.options import ServerOptions

# All that wait for an address's probes wake together: by then there are tokens for more than one of them.
LEAST_PROBE_WAIT_SECONDS = 0.25


class HttpRequests:
    """The book of one process: an application counts until it ends, whether or not its client still waits.

    Who counted connections would run any number of applications, and threads, for a client that asks and
    hangs up. Addresses are those of the clients, as the proxies that we trust tell them; whole for IPv4, by
    their /64 for IPv6. A proxy that does not tell, and a Unix socket, have no bound of their own.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._probes = Buckets(Rate(options.probes_per_second_per_address, 1))
        self._running: Counter[str] = Counter()

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

    def _key(self, address: str) -> str:
        return share_key(address, self._options.trusted_proxies)
