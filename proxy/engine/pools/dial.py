"""Opening upstream legs: what is asked, where, and what each failure means."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from proxy.core.captures import fill
from proxy.core.errors import (
    BadRequest,
    GatewayError,
    NotFound,
    Overloaded,
    ServiceBusy,
    ServiceRefused,
    TokenExpired,
    UpstreamRefused,
    UpstreamTimeout,
)
from proxy.core.heads import BREAKS_LINES, TOKEN, problem_of_head
from proxy.core.human import one_line
from proxy.core.limits import LinkLimits
from proxy.core.routes import at_path, own_path
from proxy.engine.pools.resolving import Addresses, HostUnknown, is_our_own
from proxy.engine.pools.upstream_leg import UpstreamLeg

T = TypeVar("T")
LegT = TypeVar("LegT")


_TARGET = re.compile(r"[\x21-\x7e]*")
_SECURE = frozenset({"wss", "https"})
_SECONDS = re.compile(r"[0-9]{1,9}")

# What a service answers to the client itself, not to us.
CLIENT_REFUSALS = frozenset({401, 403})
# With either a service asks for patience.
_BUSY = frozenset({429, 503})


class DialFailed(Exception):
    """No TCP or TLS connection to this member; another may answer. str() is for operators."""


class Target:
    """Where one dial goes, in what time, and how far it got. `url` has no query: operators may see it.

    `is_connected`: the member took the connection, so that what it did then may be due to the request.
    """

    __slots__ = ("addresses", "is_connected", "seconds", "url")

    def __init__(self, url: str, addresses: Addresses | None = None, *, seconds: float = 5.0) -> None:
        self.url, self.seconds = url, seconds
        self.addresses = Addresses(urlsplit(url).hostname or "") if addresses is None else addresses
        self.is_connected = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRequest:
    """What to ask of a member. `path` is for members that have none of their own, or, with
    `replaces_path`, for all. `query` is already encoded. `extensions` goes out verbatim, None for none.
    `captures` fill the `{name}`s of members' URLs.

    Raises:
        ValueError: it could not be sent. Whose fault that is, the caller knows; no member's.
    """

    path: str = ""
    query: str = ""
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)
    subprotocols: Sequence[str] = ()
    extensions: str | None = None
    replaces_path: bool = False
    captures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _TARGET.fullmatch(self.path) or not _TARGET.fullmatch(self.query):
            raise ValueError("the path or the query holds what no URL can")
        said = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers]
        said.extend((b"sec-websocket-protocol", name.encode("latin-1")) for name in self.subprotocols)
        problem = problem_of_head(said)
        if problem is None and any(BREAKS_LINES.search(value) for _, value in said):
            problem = "a line break in a header value"
        if problem is not None or not all(TOKEN.fullmatch(name) for name, _ in said):
            raise ValueError(problem or "a header's name is no token")

    def target(self, member_url: str) -> str:
        """Where to dial, without the query: it may hold a token, and this is shown to operators.

        Raises BadRequest for what cannot be a part of it, DialFailed where the path captures no such part.
        """
        if self.path and (self.replaces_path or not own_path(member_url)):
            return at_path(member_url, self.path)
        try:
            return fill(member_url, self.captures)
        except KeyError as error:
            raise DialFailed(f"no path captures {{{error.args[0]}}}") from None
        except ValueError as error:
            raise BadRequest(str(error)) from None

    def url(self, member_url: str) -> str:
        return f"{member_url}?{self.query}" if self.query else member_url


Dial = Callable[[Target, DialRequest], Awaitable[LegT]]


async def connect_first(target: Target, connect_to: Callable[[str], Awaitable[T]]) -> T:
    """What `connect_to` gives for the first of the target's addresses that takes the connection.

    An address that is silent may use its share of the time that is left. The caller bounds the whole. Raises
    OSError, as the last one did.
    """
    if target.addresses.is_fixed:
        return await connect_to(target.addresses.host)
    loop, tried = asyncio.get_running_loop(), set[str]()
    deadline = loop.time() + target.seconds
    failure: OSError | None = None
    while untried := [each for each in await target.addresses.in_turn(anew=bool(tried)) if each not in tried]:
        for at, address in enumerate(untried):
            tried.add(address)
            left = len(untried) - at
            share_seconds = None if left == 1 else (deadline - loop.time()) / left
            try:
                return await _connect_to_one(target, address, connect_to, seconds=share_seconds)
            except OSError as error:
                if is_our_own(error):
                    raise
                failure = error
    raise failure or HostUnknown(target.addresses.host)


async def _connect_to_one(
    target: Target, address: str, connect_to: Callable[[str], Awaitable[T]], *, seconds: float | None
) -> T:
    """Connect to one of the target's addresses, and note whether it takes that. Raises OSError."""
    try:
        async with asyncio.timeout(seconds):
            connected = await connect_to(address)
    except OSError as error:
        if not is_our_own(error):
            target.addresses.failed(address)
        raise
    target.addresses.reached(address)
    return connected


async def connect_socket(target: Target) -> socket.socket:
    """A TCP connection to the target. Raises OSError."""
    parts = urlsplit(target.url)
    port = parts.port or (443 if parts.scheme in _SECURE else 80)

    async def connect_to(address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    return await connect_first(target, connect_to)


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """Verifies against the system's authorities. One for all: each takes 20 ms and 0.8 MB to build."""
    return ssl.create_default_context()


def tls_for(url: str) -> ssl.SSLContext | None:
    """What a dial or a probe of `url` encrypts with; None where it does not."""
    return default_ssl_context() if urlsplit(url).scheme in _SECURE else None


async def dial_leg(target: Target, request: DialRequest, *, limits: LinkLimits) -> UpstreamLeg:
    """An open `websockets` client connection to `target`, for relaying whole messages.

    Compression and environment proxies are off. A message larger than the limit closes the leg with 1009.
    The caller sets the deadline; raises as `dialling` does.
    """
    with dialling():
        return UpstreamLeg(await _connect(target, request, limits))


async def _connect(target: Target, request: DialRequest, limits: LinkLimits) -> ClientConnection:
    def connected(*args: Any, **options: Any) -> ClientConnection:
        """The library asks for this when it has begun; TLS, if any, comes before `connection_made`."""
        return _Connection(target, *args, **options)

    sock = await connect_socket(target)
    try:
        return await _ConnectHere(
            request.url(target.url),
            sock=sock,
            ssl=tls_for(target.url),
            create_connection=connected,  # type: ignore[arg-type]  # it is only called
            additional_headers=list(request.headers),
            subprotocols=[Subprotocol(name) for name in request.subprotocols] or None,
            **_relayed(limits),
        )
    except BaseException:
        sock.close()
        raise


def _relayed(limits: LinkLimits) -> dict[str, Any]:
    """How the library treats any relayed leg. The deadline of its opening is the caller's."""
    return {
        "user_agent_header": None,
        "compression": None,
        "proxy": None,
        "open_timeout": None,
        "close_timeout": limits.close_timeout_seconds,
        "ping_interval": limits.ping_interval_seconds,
        "ping_timeout": limits.ping_timeout_seconds,
        "max_size": limits.max_message_bytes,
        "max_queue": 8,
    }


class _Connection(ClientConnection):
    """Tells its target when TCP and TLS stand."""

    def __init__(self, target: Target, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._target: Target | None = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._target is not None:
            self._target.is_connected, self._target = True, None
        super().connection_made(transport)


class _ConnectHere(connect):
    """Follows no redirect: a service must not send the gateway, and a client's token, elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@contextmanager
def dialling() -> Iterator[None]:
    """Around a dial: what fails is raised as what it means to the client.

    Raises:
        DialFailed, UpstreamTimeout, UpstreamRefused, NotFound, ServiceRefused, ServiceBusy, TokenExpired
        Overloaded: this node has no socket or thread left.
    """
    try:
        yield
    except Exception as error:
        meaning = dial_error(error)
        if meaning is error:
            raise
        raise meaning from error


def dial_error(error: Exception) -> Exception:
    """What a failed dial means to the client: refused (502), not found (404), too late (504), try another."""
    if isinstance(error, InvalidStatus):
        response = error.response
        retry_after = response.headers.get_all("Retry-After")
        return refused_with(response.status_code, bytes(response.body or b""), "".join(retry_after[:1]))
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("no answer to the handshake in time")
    if isinstance(error, InvalidHandshake | EOFError):
        return UpstreamRefused(f"broken handshake: {type(error).__name__}")
    if isinstance(error, OSError):
        if is_our_own(error):
            return Overloaded(f"this node cannot dial: {error}")
        return DialFailed(f"{type(error).__name__}: {error}")
    return error


def refused_with(status: int, body: bytes = b"", retry_after: str = "") -> GatewayError:
    """The upstream's own refusal. Its 401, 403, 404, 429 and 503 are for the client; all others are a 502.

    `retry_after`: the header, of which seconds are understood, and dates are not.
    """
    if status == NotFound.status:
        return NotFound("the upstream answered 404")
    if status in CLIENT_REFUSALS:
        if status == TokenExpired.status and _object_in(body).get("code") == TokenExpired.code:
            return TokenExpired("the service says that the token has expired")
        return ServiceRefused(status, words=words_for_clients(body))
    if status in _BUSY:
        seconds = float(retry_after) if _SECONDS.fullmatch(retry_after) else None
        return ServiceBusy(status, retry_after_seconds=seconds)
    return UpstreamRefused(f"status {status}", upstream_status=status)


def _object_in(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is; {} for all else."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def words_for_clients(body: bytes) -> str:
    """Why a service refuses, one line: `message`, `detail` or `error` of a JSON object; "" for all else.

    Other text may be a page of some framework, with inner addresses in it.
    """
    told = _object_in(body)
    words = [told[name] for name in ("message", "detail", "error") if isinstance(told.get(name), str)]
    return one_line(words[0]) if words else ""
