"""Stock Daphne, made safe enough: no token in its access log, and a client that it fails is told why."""

from __future__ import annotations

from typing import Any

from daphne.access import AccessLogGenerator
from daphne.ws_protocol import WebSocketProtocol

from proxy.core.closes import ClosedBy

# Time for a client to read why, behind what it is still sending; Autobahn's own is 1 s.
CLOSE_HANDSHAKE_SECONDS = 5.0


def make_safe() -> None:
    """Change Daphne's classes, for the servers of this process. Calling it twice is harmless."""
    keep_queries_out_of_the_access_log()
    close_before_dropping()


def close_before_dropping() -> None:
    """Let Autobahn fail a connection by a close frame (1002, 1007, 1009), and say that it was not the client.

    Daphne leaves `failByDrop` at its default: a message over its limit, or a broken frame, is answered with a
    TCP reset, and the application is told 1006. The limit is Daphne's own, 1 MiB.
    """
    if not getattr(WebSocketProtocol, "failByDrop", True):
        return
    on_close = WebSocketProtocol.onClose

    def on_close_by_whom(self: Any, was_clean: bool, code: int | None, reason: str | None) -> None:
        if self.failedByMe and not self.muted and hasattr(self, "application_queue"):
            told = {"type": "websocket.disconnect", "code": self.localCloseCode}
            self.application_queue.put_nowait(told | {"sluicegate.closed_by": ClosedBy.GATEWAY})
            self.muted = True  # Daphne is not to tell of it again
        on_close(self, was_clean, code, reason)

    WebSocketProtocol.failByDrop = False
    WebSocketProtocol.closeHandshakeTimeout = CLOSE_HANDSHAKE_SECONDS
    WebSocketProtocol.onClose = on_close_by_whom
    bound_failed_connections()
    drop_what_comes_too_late()


def bound_failed_connections() -> None:
    """Autobahn reads on behind what it fails, for an answer to its close: bound memory and time."""
    drop, receive = WebSocketProtocol.dropConnection, WebSocketProtocol._dataReceived

    def drop_in_time(self: Any, abort: bool = False) -> None:
        drop(self, abort)
        if not abort:  # what is still to be written waits for good for a client that does not read
            self.factory._batched_timer.call_later(CLOSE_HANDSHAKE_SECONDS, self.transport.abortConnection)

    def receive_what_can_be_used(self: Any, data: bytes) -> None:
        frame = self.current_frame if self.failedByMe else None  # there is none before the handshake
        is_endless_control = frame is not None and frame.opcode > 7 and frame.length > 125
        if not is_endless_control and self.state != self.STATE_CLOSED:  # else Autobahn would keep it all
            receive(self, data)

    WebSocketProtocol.dropConnection = drop_in_time
    WebSocketProtocol._dataReceived = receive_what_can_be_used


def drop_what_comes_too_late() -> None:
    """Until the application has heard of an end it may send: Autobahn raises at that, as if it had failed."""
    send = WebSocketProtocol.serverSend

    def send_while_open(self: Any, content: Any, binary: bool = False) -> None:
        if self.state not in {self.STATE_CLOSING, self.STATE_CLOSED}:
            send(self, content, binary)

    WebSocketProtocol.serverSend = send_while_open


def keep_queries_out_of_the_access_log() -> None:
    """Cut the query off every request line that Daphne's access log writes. Calling it twice is harmless."""
    write_entry = AccessLogGenerator.write_entry
    if getattr(write_entry, "cuts_queries", False):
        return

    def write_without_query(
        self: Any, host: str, date: Any, request: str, *args: Any, **options: Any
    ) -> None:
        write_entry(self, host, date, request.partition("?")[0], *args, **options)

    write_without_query.cuts_queries = True  # type: ignore[attr-defined]
    AccessLogGenerator.write_entry = write_without_query
