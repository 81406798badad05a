"""The HTTP side, in Twisted: requests under deadlines, and how an upgrade's socket leaves Twisted."""

from __future__ import annotations

import contextlib
import logging
import socket
from functools import cached_property
from http import HTTPStatus
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.web.http import HTTPChannel

from proxy.core.errors import READ_ONLY, BadRequest, GatewayError, Overloaded, TooMany
from proxy.core.heads import CONTROL_BYTES
from proxy.core.refusals import Refusal, refusal, refusal_of
from proxy.server import access_log, handshake
from proxy.server.counting import Reason, count_refusal
from proxy.server.handshake import UpgradeRequest
from proxy.server.http_connections import HttpConnections
from proxy.server.options import ServerOptions

log = logging.getLogger("gateway.server")

_NOT_FROM_CLIENTS = b"Daphne-Root-Path"
_COMPLAINT_SECONDS = 10.0


class GatewayChannel(HTTPChannel):
    """One HTTP connection. A request's head has a deadline and its body another, however slowly they drip.

    Bodies come with a length, and only where the application takes one: chunks of a byte each would cost the
    loop two microseconds apiece.
    """

    # Twisted's own annotations are narrower than what it puts there.
    transport: Any
    requests: list[Any]
    factory: GatewayFactory
    _command: bytes
    _path: bytes
    _dataBuffer: list[bytes]
    _networkProducer: Any
    _in_request = False
    _is_refused = False
    _unsent_bytes_before = 0

    def connectionMade(self) -> None:
        if self.factory.arrive(self):
            super().connectionMade()
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Any) -> None:
        self.factory.connections.leave(self)
        super().connectionLost(reason)

    def give_way(self) -> None:
        self.setTimeout(None)
        self.transport.abortConnection()

    def resetTimeout(self) -> None:
        """Called for all data; only the first byte of a head starts the clock."""
        if not self._in_request:
            self._in_request = True
            super().resetTimeout()

    def lineReceived(self, line: bytes) -> None:
        if not self._is_refused:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(431, self._head_bounds())

    def _respondToBadRequestAndDisconnect(self) -> None:
        """What Twisted does with a head that it does not take, whatever the reason; without a body there."""
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self._refuse(431, self._head_bounds())
        else:
            self._refuse(400, "The request is not valid HTTP.")

    def _head_bounds(self) -> str:
        return f"The head of a request may have {self.totalHeadersSize} bytes and {self.maxHeaders} headers."

    def allHeadersReceived(self) -> None:
        if self.length != 0:
            refusal = self._body_refusal()
            if refusal is not None:
                self._refuse(*refusal, counted="body")
                return
            self.setTimeout(self.factory.server.options.body_timeout_seconds)
        super().allHeadersReceived()

    def _body_refusal(self) -> tuple[int, str] | None:
        options, path = self.factory.server.options, self._path.partition(b"?")[0].decode("latin-1")
        if self.length is None:
            return 411, "A body needs a Content-Length."
        if options.is_probe(path) and self._command not in {b"GET", b"HEAD"}:
            return 405, READ_ONLY
        if not options.takes_body(path):
            return 413, "No body is taken here."
        if self.length > options.max_body_bytes:
            return 413, f"A body may have {options.max_body_bytes} bytes."
        return None

    def _refuse(self, status: int, message: str, *, counted: Reason = "head") -> None:
        """Answer the head, and for a moment throw away what comes behind it: a reset would eat the answer."""
        if self._is_refused:  # the rest of a read may be as bad as its first line
            return
        count_refusal(counted)
        self._is_refused = True
        self.transport.write(handshake.refusal_bytes(*refusal(status, code=BadRequest.code, message=message)))
        if isinstance(self.transport, tcp.Connection):
            self.transport.loseWriteConnection()
        else:  # TLS knows no half
            self.loseConnection()
        self.setTimeout(self.factory.server.options.limits.close_timeout_seconds)

    def dataReceived(self, data: bytes) -> None:
        if not self._is_refused:
            super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._is_refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        self._in_request = False
        self.factory.connections.began_request(self)
        super().allContentReceived()
        # What setTimeout() finds to restore after the answer is the head's deadline, not the body's.
        self._savedTimeOut = self.factory.timeOut

    def requestDone(self, request: Any) -> None:
        self.factory.connections.ended_request(self)
        self._unsent_bytes_before = self._unsent_bytes()
        super().requestDone(request)
        if not self.persistent:  # Twisted would wait for good for who does not read the answer
            self.setTimeout(self.factory.timeOut)

    def timeoutConnection(self) -> None:
        if self._is_refused:
            self.transport.abortConnection()
        elif self._in_request:
            self._refuse(408, "The request did not come in time.", counted="late")
        elif 0 < self._unsent_bytes() < self._unsent_bytes_before:
            self._unsent_bytes_before = self._unsent_bytes()
            self.setTimeout(self.factory.timeOut)  # slow, but it reads
        else:
            super().timeoutConnection()

    def _unsent_bytes(self) -> int:
        """What of the answers is still ours to send; 0 on TLS, where nobody says."""
        transport = self.transport
        if not isinstance(transport, tcp.Connection):
            return 0
        unsent_bytes: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return unsent_bytes

    def leave_to_autobahn(self) -> None:
        """From now on nothing of this connection comes back here, its end included."""
        self.factory.connections.leave(self)
        self.setTimeout(None)

    def take_socket(self) -> tuple[socket.socket, bytes]:
        """The connection's socket and the bytes that came after the head; Twisted forgets all of it.

        Every reference between transport, channel and request is cut: as a cycle they would stay in memory
        until the garbage collector's oldest generation is due.
        """
        transport = self.transport
        self.setTimeout(None)
        self.factory.connections.leave(self)
        transport.reactor.removeReader(transport)
        transport.reactor.removeWriter(transport)
        connection, early = transport.socket, self.clearLineBuffer() + b"".join(self._dataBuffer)
        del transport.socket, transport.fileno
        transport.connected, transport.disconnected = 0, 1
        transport.protocol = transport.producer = None
        self._dataBuffer, self.requests = [], []
        self._networkProducer = self.transport = None
        return connection, early


class GatewayRequest(WebRequest):
    """One request: an upgrade leaves for the node, the rest is Daphne's."""

    channel: Any
    transport: Any
    client: Any
    host: Any

    def process(self) -> Any:
        self.requestHeaders.removeHeader(_NOT_FROM_CLIENTS)
        self.client, self.host = _unmapped(self.client), _unmapped(self.host)
        if self._is_upgrade():
            if self._is_plain():
                return self._leave_if_all_is_written()
            self.channel.leave_to_autobahn()
        if self._has_control_bytes():
            return self.basic_error(400, b"Bad Request", "Control bytes in a header value.")
        return self._serve()

    def _serve(self) -> Any:
        """Hand it to an application; a probe once its address has not asked too often."""
        if self.channel is None:  # gone while it waited
            return None
        if self.is_probe:
            now = self.server.loop.time()
            wait_seconds = self.server.http_requests.probe_wait_seconds(self.client_address, now)
            if wait_seconds:
                self.server.loop.call_later(wait_seconds, self._serve)
                return None
        elif self._refuse_for_want_of_a_place():
            return None
        if self.server.is_draining:
            self._make_last()
        return super().process()

    @cached_property
    def client_address(self) -> str:
        """Of the client, as the proxies that we trust tell it; "" if nobody does."""
        return access_log.client_of(
            getattr(self.client, "host", None),
            forwarded_for=self.requestHeaders.getRawHeaders(b"X-Forwarded-For", ()),
            real_ip=self.requestHeaders.getRawHeaders(b"X-Real-IP", ()),
            proxies=self.server.options.trusted_proxies,
        )

    @property
    def is_probe(self) -> bool:
        return bool(self.server.options.is_probe(self.uri.partition(b"?")[0].decode("latin-1")))

    def _refuse_for_want_of_a_place(self) -> bool:
        """Answer at once if as many applications run as may, for this client or in all."""
        running, options = self.server.http_requests, self.server.options
        if running.is_full_for(self.client_address):
            limit = options.max_http_requests_per_address
            self._refuse(
                TooMany("http_per_ip", limit=limit, retry_after_seconds=1.0),
                counted="http_per_address",
            )
            return True
        if running.is_full:
            self._refuse(Overloaded(), counted="http_overloaded")
            return True
        return False

    def _refuse(self, error: GatewayError, *, counted: Reason) -> None:
        count_refusal(counted)
        self._make_last()
        self._answer(refusal_of(error))

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """With today's phrases: to Twisted a 429 is an "Unknown Status"."""
        if message is None:
            with contextlib.suppress(ValueError):  # a status that nobody has named
                message = HTTPStatus(code).phrase.encode("ascii")
        super().setResponseCode(code, message)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What is said of a head, and instead of an application that fails or is late: JSON, not a page."""
        code = GatewayError.code
        if status == 400:
            count_refusal("head")
            self._make_last()
            code = BadRequest.code
        self._answer(refusal(status, code=code, message=body))

    def _answer(self, refused: Refusal) -> None:
        length = (b"content-length", b"%d" % len(refused.body))
        headers = [*refused.headers, (b"content-security-policy", b"default-src 'none'"), length]
        self.handle_reply({"type": "http.response.start", "status": refused.status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": refused.body})

    def handle_exception(self, exception: BaseException) -> None:
        """A 500, or, when the answer has begun, its end in the middle: nobody may take it for whole."""
        if self._response_started and self.channel is not None:
            self.channel.give_way()
        else:
            super().handle_exception(exception)

    def finish(self) -> None:
        super().finish()
        access_log.log_http(self)

    def _make_last(self) -> None:
        """The connection closes behind this request's answer."""
        self.channel.persistent = False
        self.setHeader(b"Connection", b"close")

    def _has_control_bytes(self) -> bool:
        """Daphne looks for line breaks only."""
        return any(
            CONTROL_BYTES.search(value)
            for _, values in self.requestHeaders.getAllRawHeaders()
            for value in values
        )

    def _is_upgrade(self) -> bool:
        upgrade = self.requestHeaders.getRawHeaders(b"Upgrade")
        return bool(upgrade) and upgrade[0].strip().lower() == b"websocket"

    def _is_plain(self) -> bool:
        """Whether this is a socket of its own; TLS stays with stock Daphne."""
        transport = self.channel.transport
        return isinstance(transport, tcp.Server) and not transport.TLS

    def _leave_if_all_is_written(self) -> None:
        """Who pipelines an upgrade and has not read the answer before it is refused."""
        transport = self.channel.transport
        if not transport.dataBuffer and not transport._tempDataBuffer:
            self._leave()
            return
        self.basic_error(400, b"Bad Request", "Read the answer before you upgrade.")

    def _leave(self) -> None:
        server, channel = self.server, self.channel
        server.connections.pop(self, None)
        connection, early = channel.take_socket()
        self.channel = self.transport = None
        self.content.close()
        server.clients.take(connection, self._upgrade_request(early))

    def _upgrade_request(self, early: bytes) -> UpgradeRequest:
        return UpgradeRequest(
            method=self.method.decode("ascii", "replace"),
            target=self.uri,
            http_version=self.clientproto.rpartition(b"/")[2].decode("ascii", "replace"),
            # Names with an underscore could pass for others (CVE-2015-0219); Daphne drops them, too.
            headers=[
                (name.lower(), value)
                for name, values in self.requestHeaders.getAllRawHeaders()
                if b"_" not in name
                for value in values
            ],
            client=_address(self.client),
            server=_address(self.host),
            early=early,
        )


def _address(address: Any) -> list[Any] | None:
    """[host, port], or None for a Unix socket."""
    return [str(address.host), address.port] if hasattr(address, "port") else None


def _unmapped(address: Any) -> Any:
    """An IPv4 client of an IPv6 socket has its IPv4 address."""
    host = getattr(address, "host", None)
    if host is None or not host.startswith("::ffff:"):
        return address
    return IPv4Address(address.type, host.removeprefix("::ffff:"), address.port)


class GatewayFactory(HTTPFactory):
    """Builds our channels directly: Twisted's HTTP/2 proxy in front of them is of no use here."""

    protocol = GatewayChannel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        options: ServerOptions = server.options
        self.timeOut = options.head_timeout_seconds
        self.connections = HttpConnections(
            most=options.most_http_connections,
            most_waiting=options.max_http_connections,
            most_per_address=options.max_http_connections_per_address,
            proxies=options.trusted_proxies,
        )
        self._complained_at = float("-inf")

    def arrive(self, channel: GatewayChannel) -> bool:
        """Enter a new connection; others may have to go for it. False if it may not stay."""
        before = self.connections.given_way
        host = getattr(channel.transport.getPeer(), "host", None)
        may_stay = self.connections.arrive(channel, host)
        if not may_stay or self.connections.given_way > before:
            count_refusal("silent" if may_stay else "per_address")
            self._complain(host)
        return may_stay

    def _complain(self, host: str | None) -> None:
        now = self.server.loop.time()
        if now - self._complained_at > _COMPLAINT_SECONDS:
            self._complained_at = now
            extra = {"given_way": self.connections.given_way, "latest_client": host}
            log.warning("too many connections without a request", extra=extra)

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        channel.requestFactory = GatewayRequest
        channel.abortTimeout = self.server.options.limits.close_timeout_seconds
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]
