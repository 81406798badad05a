"""What the server is told at start: its bounds, and what to call when."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.addresses import Network
from proxy.core.errors import GatewayError
from proxy.core.limits import LinkLimits
from proxy.core.refusal_records import RefusalRecord


class Hooks:
    """What the composition is told and asked; it overrides what it has to say to."""

    async def on_started(self) -> None:
        """Called before the first connection is accepted; if it raises, the start fails."""

    def on_serving(self) -> None:
        """Connections are accepted from now on."""

    def refusal(self, links: int) -> GatewayError | None:
        """Why a handshake may not go on to the application, beside `links` others. Its `code` is counted."""

    def refused(self, record: RefusalRecord) -> None:
        """The server has refused a handshake by itself: what `refusal` said, or what breaks the rules."""

    def on_draining(self) -> None:
        """Called once, at once; what `refusal` says from then on is up to the composition."""

    async def others_accept(self) -> bool:
        """Asked next: whether others accept from the same sockets, so that who waits there is theirs."""
        return False

    async def on_stopped(self) -> None:
        """Called after the last link is gone, under a deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Bounds of one node. Durations are seconds, sizes bytes.

    `head_timeout_seconds` bounds the whole head of a request, however slowly it drips, `body_timeout_seconds`
    its body. `connect_timeout_seconds` is what an application may take to accept or refuse.
    `application_close_seconds` is what it may take to end after its socket has gone.
    `receive_queue_*` bound what waits for an application that does not receive; reading stops there.
    `max_http_connections` bounds connections without a request, `max_http_requests` applications that work
    on one, whether or not anybody waits for it; upgrades count as neither. `trusted_proxies` have no bound
    per address: the requests that they pass on count for the clients that they name.
    `max_http_streams` bounds answers of Server-Sent Events that are under way beside those: they take as long
    as they like, but end when their client has read nothing of what waits for `stream_stall_seconds`, or more
    than `max_stream_bytes` wait.
    Under `body_paths` a request may have a body. `probe_paths` are answered from memory, so that an answer
    costs hardly more than a refusal: those are served however many requests are under way, but no faster than
    `probes_per_second_per_address`; more of them wait for their turn. Paths are as the client wrote them.
    """

    limits: LinkLimits = field(default_factory=LinkLimits)
    hooks: Hooks = field(default_factory=Hooks)
    max_http_connections: int = 500
    max_http_connections_per_address: int = 250
    max_http_requests: int = 200
    max_http_requests_per_address: int = 50
    probes_per_second_per_address: float = 50.0
    max_http_streams: int = 100
    max_stream_bytes: int = 4 << 20
    stream_stall_seconds: float = 15.0
    trusted_proxies: tuple[Network, ...] = ()
    drain_seconds: float = 30.0
    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    http_timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 30.0
    application_close_seconds: float = 10.0
    stop_timeout_seconds: float = 15.0
    sweep_seconds: float = 1.0
    max_early_bytes: int = 4096
    max_body_bytes: int = 1 << 20
    body_paths: tuple[str, ...] = ("/",)
    probe_paths: frozenset[str] = frozenset()
    max_refusal_bytes: int = 64 << 10
    receive_queue_bytes: int = 64 << 10
    receive_queue_messages: int = 64

    @property
    def most_http_connections(self) -> int:
        """With a request or without: never more files than these are open for HTTP."""
        return self.max_http_connections + self.max_http_requests
