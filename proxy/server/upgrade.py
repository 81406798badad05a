"""How the socket of a request to upgrade leaves Twisted for the event loop. All arguments are Twisted's."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp

from proxy.server.handshake import UpgradeRequest
from proxy.server.handshake_leg import HandshakeLeg


def is_asked_by(request: Any) -> bool:
    upgrade = request.requestHeaders.getRawHeaders(b"Upgrade")
    return bool(upgrade) and upgrade[0].strip().lower() == b"websocket"


def is_plain(channel: Any) -> bool:
    """Whether this is a socket of its own; TLS stays with stock Daphne."""
    transport = channel.transport
    return isinstance(transport, tcp.Server) and not transport.TLS


def has_written_all(channel: Any) -> bool:
    """Whether what was answered before has left for the socket: it would not be written any more."""
    transport = channel.transport
    return not transport.dataBuffer and not transport._tempDataBuffer


def leave(request: Any) -> None:
    """Give the socket to the server's clients."""
    server, channel = request.server, request.channel
    server.connections.pop(request, None)
    connection, early = _take_socket(channel)
    request.channel = request.transport = None
    request.content.close()
    HandshakeLeg(server.clients, _upgrade_request(request, early)).take(connection)


def _take_socket(channel: Any) -> tuple[socket.socket, bytes]:
    """The connection's socket and the bytes that came after the head; Twisted forgets all of it.

    Every reference between transport, channel and request is cut: as a cycle they would stay in memory
    until the garbage collector's oldest generation is due.
    """
    transport = channel.transport
    channel.leave()
    transport.reactor.removeReader(transport)
    transport.reactor.removeWriter(transport)
    connection, early = transport.socket, channel.clearLineBuffer() + b"".join(channel._dataBuffer)
    del transport.socket, transport.fileno
    transport.connected, transport.disconnected = 0, 1
    transport.protocol = transport.producer = None
    channel._dataBuffer, channel.requests = [], []
    channel._networkProducer = channel.transport = None
    return connection, early


def _upgrade_request(request: Any, early: bytes) -> UpgradeRequest:
    return UpgradeRequest(
        method=request.method.decode("ascii", "replace"),
        target=request.uri,
        http_version=request.clientproto.rpartition(b"/")[2].decode("ascii", "replace"),
        # Names with an underscore could pass for others (CVE-2015-0219); Daphne drops them, too.
        headers=[
            (name.lower(), value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            if b"_" not in name
            for value in values
        ],
        client=_address(request.client),
        server=_address(request.host),
        early=early,
    )


def _address(address: Any) -> list[Any] | None:
    """[host, port], or None for a Unix socket."""
    return [str(address.host), address.port] if hasattr(address, "port") else None
