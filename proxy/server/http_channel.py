"""One HTTP connection, in Twisted: its requests' heads and bodies under deadlines."""

from __future__ import annotations

import logging
from typing import Any

from daphne.http_protocol import HTTPFactory
from twisted.internet import tcp
from twisted.web.http import HTTPChannel

from proxy.core.errors import READ_ONLY, BadRequest
from proxy.core.refusals import refusal
from proxy.server import handshake
from proxy.server.counting import Reason, count_refusal
from proxy.server.http_bounds import HttpConnections
from proxy.server.http_request import GatewayRequest
from proxy.server.options import ServerOptions

log = logging.getLogger("gateway.server")

_COMPLAINT_SECONDS = 10.0


class GatewayChannel(HTTPChannel):
    """One HTTP connection. A request's head has a deadline and its body another, however slowly they drip.

    Bodies come with a length, and only where the application takes one: chunks of a byte each would cost the
    loop two microseconds apiece.
    """

    factory: GatewayFactory
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
        if path in options.probe_paths and self._command not in {b"GET", b"HEAD"}:
            return 405, READ_ONLY
        if not path.startswith(options.body_paths):
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
        self.dataReceived = self.lineReceived = self.rawDataReceived = _ignore
        self.transport.write(handshake.refusal_bytes(*refusal(status, code=BadRequest.code, message=message)))
        if isinstance(self.transport, tcp.Connection):
            self.transport.loseWriteConnection()
        else:  # TLS knows no half
            self.loseConnection()
        self.setTimeout(self.factory.server.options.limits.close_timeout_seconds)

    def allContentReceived(self) -> None:
        self._in_request = False
        self.factory.connections.began_request(self)
        super().allContentReceived()
        # What setTimeout() finds to restore after the answer is the head's deadline, not the body's.
        self._savedTimeOut = self.factory.timeOut

    def requestDone(self, request: Any) -> None:
        self.factory.connections.ended_request(self)
        self._unsent_bytes_before = self.unsent_bytes()
        super().requestDone(request)
        if not self.persistent:  # Twisted would wait for good for who does not read the answer
            self.setTimeout(self.factory.timeOut)

    def timeoutConnection(self) -> None:
        if self._is_refused:
            self.transport.abortConnection()
        elif self._in_request:
            self._refuse(408, "The request did not come in time.", counted="late")
        elif 0 < self.unsent_bytes() < self._unsent_bytes_before:
            self._unsent_bytes_before = self.unsent_bytes()
            self.setTimeout(self.factory.timeOut)  # slow, but it reads
        else:
            super().timeoutConnection()

    def unsent_bytes(self) -> int:
        """What of the answers is still ours to send; 0 on TLS, where nobody says."""
        transport = self.transport
        if not isinstance(transport, tcp.Connection):
            return 0
        unsent_bytes: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return unsent_bytes

    def leave(self) -> None:
        """It speaks HTTP no more: no deadline of ours, and no place in the book."""
        self.factory.connections.leave(self)
        self.setTimeout(None)


def _ignore(_: bytes) -> None:
    """What comes behind a refused head."""


class GatewayFactory(HTTPFactory):
    """Builds our channels directly: Twisted's HTTP/2 proxy in front of them is of no use here."""

    protocol = GatewayChannel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        options: ServerOptions = server.options
        self.timeOut = options.head_timeout_seconds
        self.connections = HttpConnections(options)
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
