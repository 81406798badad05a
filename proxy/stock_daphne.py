"""Stock Daphne, made safe enough: no token in its access log, and a client that it fails is told why."""

from __future__ import annotations

import asyncio
from typing import Any

from autobahn.exception import PayloadExceededError
from daphne.access import AccessLogGenerator
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet.defer import Deferred

from proxy.core.closes import MESSAGE_TOO_BIG, ClosedBy
from proxy.core.errors import LegClosed
from proxy.node import node_here

# Time for a client to read why, behind what it is still sending; Autobahn's own is 1 s.
CLOSE_HANDSHAKE_SECONDS = 5.0
_write_entry = AccessLogGenerator.write_entry
_kill_all_applications = Server.kill_all_applications


def make_safe() -> None:
    """Change Daphne's classes, for the servers of this process. Calling it twice is harmless."""
    WebSocketFactory.protocol = SafeWebSocketProtocol
    Server.kill_all_applications = _end_links_first
    AccessLogGenerator.write_entry = _write_entry_without_query


def _end_links_first(server: Server) -> Deferred[None]:
    """At the end of the process its links are told, and only then are applications cancelled.

    Daphne cancels them first, so that their clients are told nothing (1006), or fails at one that has just
    come, and cancels none.
    """
    if type(server) is not Server:  # ours, which drains
        return _kill_all_applications(server)

    async def end() -> None:
        node = node_here()
        try:
            if node is not None:
                await node.cut()
        finally:
            for details in server.connections.values():
                if "application_instance" in details:  # else it has just come
                    details["application_instance"].cancel()

    return Deferred.fromFuture(asyncio.ensure_future(end()))


def _write_entry_without_query(
    self: Any, host: str, date: Any, request: str, *args: Any, **options: Any
) -> None:
    _write_entry(self, host, date, request.partition("?")[0], *args, **options)


class SafeWebSocketProtocol(WebSocketProtocol):  # type: ignore[misc]  # Daphne has no types
    """Fails a connection by a close frame (1002, 1007, 1009), and says that it was not the client.

    Daphne leaves `failByDrop` at its default: a message over its limit, or a broken frame, is answered with a
    TCP reset, and the application is told 1006. The limit is Daphne's own, 1 MiB.
    """

    failByDrop = False
    muted: bool
    http_request_uri: str
    closeHandshakeTimeout = CLOSE_HANDSHAKE_SECONDS

    def onConnect(self, request: Any) -> Any:
        """Autobahn reads the target as a URL: of `//a/ws` it takes `a` for a host; of `/ws;a`, `;a` goes."""
        if self.http_request_uri.startswith("/"):
            request.path = self.http_request_uri.partition("?")[0]
        return super().onConnect(request)

    def onClose(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        if self.failedByMe and not self.muted and hasattr(self, "application_queue"):
            told = {"type": "websocket.disconnect", "code": self.localCloseCode}
            self.application_queue.put_nowait(told | {"sluicegate.closed_by": ClosedBy.GATEWAY})
            self.muted = True  # Daphne is not to tell of it again
        super().onClose(was_clean, code, reason)

    # Autobahn reads on behind what it fails, for an answer to its close: bound time and memory.

    def dropConnection(self, abort: bool = False) -> None:
        super().dropConnection(abort)
        if not abort:  # what is still to be written waits for good for a client that does not read
            self.factory._batched_timer.call_later(CLOSE_HANDSHAKE_SECONDS, self.transport.abortConnection)

    def _dataReceived(self, data: bytes) -> None:
        frame = self.current_frame if self.failedByMe else None  # there is none before the handshake
        is_endless_control = frame is not None and frame.opcode > 7 and frame.length > 125
        if not is_endless_control and self.state != self.STATE_CLOSED:  # else Autobahn would keep it all
            super()._dataReceived(data)

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """Nothing after an end of which the application has not heard: Autobahn raises at that.

        Raises LegClosed: it is over Daphne's limit, and would be again whenever its client came back.
        """
        if self.state in {self.STATE_CLOSING, self.STATE_CLOSED}:
            return
        try:
            super().serverSend(content, binary)
        except PayloadExceededError:
            raise LegClosed(MESSAGE_TOO_BIG, by=ClosedBy.GATEWAY) from None
