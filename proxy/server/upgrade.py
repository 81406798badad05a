"""The HTTP side, in Twisted: requests under deadlines, and how an upgrade's socket leaves Twisted."""

from __future__ import annotations

import socket
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet import tcp
from twisted.web.http import HTTPChannel

from proxy.core.heads import CONTROL_BYTES
from proxy.server.handshake import UpgradeRequest

_NOT_FROM_CLIENTS = b"Daphne-Root-Path"


class GatewayChannel(HTTPChannel):
    """One HTTP connection. A request's head has a deadline and its body another, however slowly they drip."""

    # Twisted's own annotations are narrower than what it puts there.
    transport: Any
    requests: list[Any]
    _dataBuffer: list[bytes]
    _networkProducer: Any
    _in_request = False
    _body_bytes = 0

    def connectionMade(self) -> None:
        self.factory.open_channels += 1
        super().connectionMade()

    def connectionLost(self, reason: Any) -> None:
        self.factory.open_channels -= 1
        super().connectionLost(reason)

    def resetTimeout(self) -> None:
        """Called for all data; only the first byte of a head starts the clock."""
        if not self._in_request:
            self._in_request = True
            super().resetTimeout()

    def allHeadersReceived(self) -> None:
        super().allHeadersReceived()
        if self.length != 0:
            self._body_bytes = 0
            self._check_body_size(self.length or 0)
            self.setTimeout(self.factory.server.options.body_timeout_seconds)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._handlingRequest:  # a body; a chunked one tells its length only as it comes
            self._body_bytes += len(data)
            if not self._check_body_size(self._body_bytes):
                return
        super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        self._in_request = False
        super().allContentReceived()
        # What setTimeout() finds to restore after the answer is the head's deadline, not the body's.
        self._savedTimeOut = self.factory.timeOut

    def timeoutConnection(self) -> None:
        if self._in_request:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        super().timeoutConnection()

    def _check_body_size(self, size: int) -> bool:
        if size <= self.factory.server.options.max_body_bytes:
            return True
        if not self.transport.disconnecting:
            self.transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n")
            self.loseConnection()
        return False

    def leave_to_autobahn(self) -> None:
        """From now on nothing of this connection comes back here, its end included."""
        self.factory.open_channels -= 1
        self.setTimeout(None)

    def take_socket(self) -> tuple[socket.socket, bytes]:
        """The connection's socket and the bytes that came after the head; Twisted forgets all of it.

        Every reference between transport, channel and request is cut: as a cycle they would stay in memory
        until the garbage collector's oldest generation is due.
        """
        transport = self.transport
        self.setTimeout(None)
        self.factory.open_channels -= 1
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

    def process(self) -> Any:
        self.requestHeaders.removeHeader(_NOT_FROM_CLIENTS)
        if self._is_upgrade():
            if self._is_plain():
                return self._leave_if_all_is_written()
            self.channel.leave_to_autobahn()
        if self._has_control_bytes():
            self.channel.persistent = False
            return self.basic_error(400, b"Bad Request", "Control bytes in a header value.")
        if self.server.node.is_draining:
            self.channel.persistent = False
            self.setHeader(b"Connection", b"close")
        return super().process()

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
        self.channel.persistent = False
        self.basic_error(400, b"Bad Request", "Read the answer before you upgrade.")

    def _leave(self) -> None:
        server, channel = self.server, self.channel
        server.connections.pop(self, None)
        connection, early = channel.take_socket()
        self.channel = self.transport = None
        self.content.close()
        server.node.take(connection, self._upgrade_request(early))

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


class GatewayFactory(HTTPFactory):
    """Builds our channels directly: Twisted's HTTP/2 proxy in front of them is of no use here."""

    protocol = GatewayChannel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.open_channels = 0
        self.timeOut = server.options.head_timeout_seconds

    def buildProtocol(self, addr: Any) -> Any:
        if self.open_channels >= self.server.options.max_http_connections:
            return None
        channel = super().buildProtocol(addr)
        channel.requestFactory = GatewayRequest
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]
