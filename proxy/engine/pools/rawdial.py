"""Opening upstream legs for a splice: the `websockets` library's sans-I/O handshake, then a bare transport.

The library is fed exactly the response head. Every byte after it is kept: a service that greets at once, in
the same segment, does not lose its greeting.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, NegotiationError
from websockets.extensions import Extension
from websockets.headers import build_extension, parse_extension
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from proxy.core.errors import UpstreamRefused
from proxy.engine.calls import wait_at_most
from proxy.engine.pools.dial import (
    CLIENT_REFUSALS,
    DialRequest,
    Target,
    connect_first,
    dialling,
    refused_with,
    tls_for,
)

MAX_RESPONSE_HEAD_BYTES = 16 * 1024
# The body of a refusal that is the client's to read: how much of it is waited for, and how long.
MAX_REFUSAL_BYTES = 4096
REFUSAL_SECONDS = 1.0
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
DEFLATE = "permessage-deflate"

# One logger for all dials: the library would otherwise look one up for each.
_log = logging.getLogger("websockets.client")
_member_uri = functools.lru_cache(maxsize=256)(parse_uri)  # never with a query: tokens are in there


class RawUpstream(asyncio.Protocol):
    """An upstream leg after its handshake: reading is paused, and nothing is lost.

    Attributes:
        subprotocol: what the upstream chose, or None.
        extensions: its Sec-WebSocket-Extensions as it is, for the client to be answered with; None if it has
            none.
        early: the bytes that came after the response head.
        is_lost: the connection ended before anybody took it over.
    """

    __slots__ = ("_head", "_ready", "_wanted", "early", "extensions", "is_lost", "subprotocol", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        self.subprotocol: str | None = None
        self.extensions: str | None = None
        self.early = b""
        self.is_lost = False
        # A failure is a result, too: as an exception, nobody might be there to retrieve it.
        self._ready: asyncio.Future[bytes | Exception] | None = asyncio.get_running_loop().create_future()
        self._head = b""
        self._wanted = 0  # bytes behind the head that somebody waits for

    async def head(self) -> bytes:
        """The response head; to be asked for once. Raises UpstreamRefused (too long), EOFError (cut)."""
        assert self._ready is not None  # noqa: S101
        head = await self._ready
        self._ready = None
        if isinstance(head, Exception):
            raise head
        return head

    async def body(self, size_bytes: int) -> bytes:
        """That many bytes behind the head; fewer if the connection ends, or they do not come in a second."""
        if len(self.early) < size_bytes and not self.is_lost:
            self._ready, self._wanted = asyncio.get_running_loop().create_future(), size_bytes
            self.transport.resume_reading()
            await wait_at_most(REFUSAL_SECONDS, self._ready)
        return self.early[:size_bytes]

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._ready is None or self._ready.done():  # reading is paused; should anything come, keep it
            self.early += data
            return
        if self._wanted:
            self.early += data
            if len(self.early) >= self._wanted:
                self.transport.pause_reading()
                self._settle(self.early)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n") + 4
        if 3 < end <= MAX_RESPONSE_HEAD_BYTES:
            self.transport.pause_reading()
            head, self.early, self._head = self._head[:end], self._head[end:], b""
            self._settle(head)
        elif end > 3 or len(self._head) > MAX_RESPONSE_HEAD_BYTES:
            self._settle(UpstreamRefused("response head too long"))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._settle(EOFError("connection lost during the handshake"))

    def _settle(self, result: bytes | Exception) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(result)


class _Handshake(ClientProtocol):
    """Lets the upstream answer the client's own offer of extensions, within what was offered."""

    offered: str | None = None

    def process_extensions(self, headers: Headers) -> list[Extension]:
        accepted = [
            name
            for value in headers.get_all("Sec-WebSocket-Extensions")
            for name, _ in parse_extension(value)
        ]
        if accepted and (self.offered is None or accepted != [DEFLATE]):
            raise NegotiationError(f"extensions {accepted} were not offered")
        return []


async def dial_raw(target: Target, request: DialRequest) -> RawUpstream:
    """A leg to `target` whose handshake is done, for a splice to take over. Environment proxies are not used.

    Of `request.extensions`, the client's own offer, permessage-deflate goes on with its parameters.
    Cancelled, nothing stays. The caller sets the deadline; raises as `dialling` does.
    """
    uri = _member_uri(target.url)
    handshake = _begin(uri, request)  # what cannot be said is known before there is a socket
    try:
        with dialling():
            upstream = await _connect(uri, target)
            target.is_connected = True
            await _shake_hands(handshake, upstream)
    finally:
        del handshake.parser  # a cycle, which would keep the token until the collector comes by
    return upstream


async def _shake_hands(handshake: _Handshake, upstream: RawUpstream) -> None:
    """Say the request, and take the response in. Whatever fails, the upstream's connection ends."""
    try:
        upstream.transport.write(handshake.data_to_send()[0])
        head = await upstream.head()
        await _raise_refusal(head, upstream)
        _finish(handshake, head, upstream)
    except BaseException:
        upstream.abort()
        raise


async def _connect(uri: WebSocketURI, target: Target) -> RawUpstream:
    loop = asyncio.get_running_loop()
    tls = tls_for(target.url)
    name = None if tls is None else uri.host

    async def connect_to(address: str) -> RawUpstream:
        _, upstream = await loop.create_connection(
            RawUpstream, address, uri.port, ssl=tls, server_hostname=name
        )
        return upstream

    return await connect_first(target, connect_to)


def _begin(uri: WebSocketURI, request: DialRequest) -> _Handshake:
    """The library's protocol, with the request ready to be sent."""
    subprotocols = [Subprotocol(name) for name in request.subprotocols] or None
    target = WebSocketURI(uri.secure, uri.host, uri.port, uri.path, request.query)
    handshake = _Handshake(target, subprotocols=subprotocols, logger=_log)
    message = handshake.connect()
    handshake.offered = _deflate_offer(request.extensions)
    if handshake.offered is not None:
        message.headers["Sec-WebSocket-Extensions"] = handshake.offered
    for name, value in request.headers:
        message.headers[name] = value
    handshake.send_request(message)
    return handshake


def _deflate_offer(offer: str | None) -> str | None:
    """What of the client's offer goes on; nothing of one that is malformed."""
    if not offer:
        return None
    try:
        kept = [extension for extension in parse_extension(offer) if extension[0] == DEFLATE]
    except InvalidHandshake:
        return None
    return build_extension(kept) if kept else None


async def _raise_refusal(head: bytes, upstream: RawUpstream) -> None:
    """Raise what a status other than 101 means: the library would want the whole body first, however long."""
    status = head[9:12]
    if not head.startswith(b"HTTP/1.") or not status.isdigit() or status == b"101":
        return
    length = _CONTENT_LENGTH.search(head)
    body = b""
    if int(status) in CLIENT_REFUSALS and length is not None and int(length[1]) <= MAX_REFUSAL_BYTES:
        body = await upstream.body(int(length[1]))
    later = _RETRY_AFTER.search(head)
    raise refused_with(int(status), body, "" if later is None else later[1].decode("latin-1"))


def _finish(handshake: _Handshake, head: bytes, upstream: RawUpstream) -> None:
    """Check the response. Raises InvalidHandshake."""
    handshake.receive_data(head)
    if handshake.handshake_exc is not None:
        raise handshake.handshake_exc
    response = handshake.events_received()[0]
    assert isinstance(response, Response)  # noqa: S101  the only event of a handshake
    upstream.subprotocol = handshake.subprotocol
    upstream.extensions = ", ".join(response.headers.get_all("Sec-WebSocket-Extensions")) or None
