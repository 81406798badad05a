"""How many applications work on HTTP requests, for whom, and whether one more may begin. Knows no Twisted."""

from __future__ import annotations

from collections import Counter

from proxy.core.addresses import Network
from proxy.core.buckets import Buckets
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

    def __init__(
        self,
        *,
        most: int,
        most_per_address: int,
        probes_per_second: float,
        proxies: tuple[Network, ...] = (),
    ) -> None:
        """`probes_per_second` are an address's, and as many at once."""
        self._probes = Buckets(Rate(probes_per_second, 1))
        self._most, self._most_per_address, self._proxies = most, most_per_address, proxies
        self._running: Counter[str] = Counter()

    @classmethod
    def within(cls, options: ServerOptions) -> HttpRequests:
        return cls(
            most=options.max_http_requests,
            most_per_address=options.max_http_requests_per_address,
            probes_per_second=options.probes_per_second_per_address,
            proxies=options.trusted_proxies,
        )

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def is_full(self) -> bool:
        return self.running >= self._most

    def is_full_for(self, address: str) -> bool:
        """Whether the client at `address` has its share; never of "", which is nobody's in particular."""
        key = self._key(address)
        return bool(key) and self._running[key] >= self._most_per_address

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
        return share_key(address, self._proxies)
