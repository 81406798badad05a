"""Opening upstream legs: how many at once, how long, and what each failure means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from proxy.core.errors import GatewayError, NotFound, Overloaded, UpstreamRefused, UpstreamTimeout
from proxy.core.limits import LinkLimits
from proxy.engine.legs import UpstreamLeg

LegT = TypeVar("LegT")


class DialFailed(Exception):
    """No TCP or TLS connection to this member; another may answer. str() is for operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRequest:
    """What to ask of a member. `path` is put behind the member's own, `query` is already encoded.

    `extensions` goes out verbatim, None for none.
    """

    path: str = ""
    query: str = ""
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)
    subprotocols: Sequence[str] = ()
    extensions: str | None = None

    def target(self, member_url: str) -> str:
        """Where to dial, without the query: it may hold a token, and this is shown to operators."""
        return member_url.rstrip("/") + self.path if self.path else member_url

    def url(self, member_url: str) -> str:
        return f"{member_url}?{self.query}" if self.query else member_url


Dial = Callable[[str, DialRequest], Awaitable[LegT]]


class Dialler:
    """Bounds concurrent dials. Those beyond `max_concurrent` queue, at most `queue_seconds`."""

    def __init__(self, *, max_concurrent: int, queue_seconds: float) -> None:
        self._turns = asyncio.Semaphore(max_concurrent)
        self._queue_seconds = queue_seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold one turn to dial.

        Raises:
            Overloaded: none came free in time.
        """
        if self._turns.locked():
            try:
                async with asyncio.timeout(self._queue_seconds):
                    await self._turns.acquire()
            except TimeoutError:
                raise Overloaded("too many dials at once") from None
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()


async def dial_leg(url: str, request: DialRequest, *, limits: LinkLimits) -> UpstreamLeg:
    """An open `websockets` client connection to `url`, for relaying whole messages.

    Compression and environment proxies are off. A message larger than the limit closes the leg with 1009.

    Raises:
        DialFailed, UpstreamTimeout, UpstreamRefused, NotFound
    """
    try:
        connection = await _ConnectHere(
            request.url(url),
            additional_headers=list(request.headers),
            user_agent_header=None,
            subprotocols=[Subprotocol(name) for name in request.subprotocols] or None,
            compression=None,
            proxy=None,
            open_timeout=limits.dial_timeout_seconds,
            close_timeout=limits.close_timeout_seconds,
            ping_interval=limits.ping_interval_seconds,
            ping_timeout=limits.ping_timeout_seconds,
            max_size=limits.max_message_bytes,
            max_queue=8,
        )
    except Exception as error:
        raise dial_error(error) from error
    return UpstreamLeg(connection)


class _ConnectHere(connect):
    """Follows no redirect: a service must not send the gateway, and a client's token, elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def dial_error(error: Exception) -> Exception:
    """What a failed dial means to the client: refused (502), not found (404), too late (504), try another."""
    if isinstance(error, InvalidStatus):
        return refused_with(error.response.status_code)
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("no answer to the handshake in time")
    if isinstance(error, InvalidHandshake | EOFError):
        return UpstreamRefused(f"broken handshake: {type(error).__name__}")
    if isinstance(error, OSError):
        return DialFailed(f"{type(error).__name__}: {error}")
    return error


def refused_with(status: int) -> GatewayError:
    """The upstream's own refusal. Its 404 is an answer (no such experience); all others are its failure."""
    if status == NotFound.status:
        return NotFound("the upstream knows no such path or experience")
    return UpstreamRefused(f"status {status}", upstream_status=status)
