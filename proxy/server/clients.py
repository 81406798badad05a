"""The clients of this process: who is there, who serves each, and what the clock says. Knows no Twisted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.server.client_socket import ClientLeg
from proxy.server.counting import count_failure
from proxy.server.inbox import Inbox
from proxy.server.options import ServerOptions

log = logging.getLogger("gateway.server")

Application = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]


class Clients:
    """Everything that the clients of one process share."""

    def __init__(
        self, application: Application, options: ServerOptions, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.application, self.options, self.loop = application, options, loop
        self.present: set[Client] = set()
        self._ending: dict[Client, float] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def let_go(self, client: Client) -> None:
        """Called when the client's socket is gone, and when its application has ended."""
        if client.task is None and client.is_gone:
            self._ending.pop(client, None)
            self.present.discard(client)
        elif client.is_gone:
            self._ending[client] = self.loop.time()

    # --- The clock -----

    def start_clock(self) -> None:
        self._sweep = self.loop.call_later(self.options.sweep_seconds, self._tick)

    def stop_clock(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()

    def _tick(self) -> None:
        self.start_clock()  # first: whatever fails below, the clock goes on
        now = self.loop.time()
        for client in tuple(self.present):
            self._look_at(client, now)
        for client, ended_at in tuple(self._ending.items()):
            if now - ended_at > self.options.application_close_seconds and client.task is not None:
                log.warning("application outlived its socket and was cancelled")
                count_failure("application_killed")
                self._ending[client] = now
                client.cancel()

    def _look_at(self, client: Client, now: float) -> None:
        try:
            client.leg.tick(now)
        except Exception:  # one client's fault must not stop the clock of all others
            log.exception("looking after a leg failed")
            count_failure("tick_failed")
            client.leg.abort()


class Client:
    """Kept until its socket is gone and its application has ended.

    Attributes:
        leg: whoever has the socket, or had it last.
        task: the application's, or of what goes on in its place; None before and after.
        inbox: what waits for the application; None once that has ended.
    """

    __slots__ = ("clients", "inbox", "is_gone", "leg", "task")

    def __init__(self, clients: Clients, leg: ClientLeg) -> None:
        options = clients.options
        self.clients, self.leg, self.is_gone = clients, leg, False
        self.task: asyncio.Future[None] | None = None
        self.inbox: Inbox | None = Inbox(
            max_bytes=options.receive_queue_bytes, max_events=options.receive_queue_messages
        )
        clients.present.add(self)

    # --- For an application that writes frames -----

    @property
    def sends_now(self) -> bool:
        return self.leg.sends_now

    def send_frames(self, frames: bytes) -> None:
        self.leg.send_frames(frames)

    # --- For its legs -----

    def serve(self, scope: dict[str, Any]) -> None:
        """Call the application."""
        assert self.inbox is not None  # noqa: S101  no application has ended yet
        self.inbox.put({"type": "websocket.connect"})
        try:
            running = self.clients.application(scope, self.inbox.receive, self._send)
        except Exception as error:  # noqa: BLE001  an application's outermost edge
            self._application_failed(error)
            self.leg.application_ended(well=False)
            return
        self.go_on_with(running)

    def go_on_with(self, serving: Awaitable[None]) -> None:
        """From now on it is `serving` that serves the client, until its end.

        An application that hands it over may return: its scope and the coroutines around it weigh no more.
        """
        self.task = asyncio.ensure_future(serving, loop=self.clients.loop)
        self.task.add_done_callback(self._on_application_end)

    def cancel(self) -> None:
        """End the application by force; not before its first step, or nothing of it would clean up."""
        if self.task is not None:
            self.clients.loop.call_soon(self.task.cancel)

    def end(self, close: Close, *, by: ClosedBy) -> None:
        """Tell the application that the leg has ended, or begins to; the first end wins."""
        if self.inbox is not None:
            self.inbox.end(close, by=by)

    def socket_gone(self) -> None:
        self.is_gone = True
        self.end(closes.LOST, by=ClosedBy.CLIENT)
        self.clients.let_go(self)

    # --- The application -----

    def _send(self, message: dict[str, Any]) -> Awaitable[None]:
        return self.leg.send(message)

    def _on_application_end(self, task: asyncio.Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._application_failed(error)
        if task is not self.task:  # another goes on in its place
            return
        self.task = None
        self.leg.application_ended(well=error is None and not task.cancelled())
        self.inbox = None
        self.clients.let_go(self)

    def _application_failed(self, error: BaseException) -> None:
        log.error("application failed", exc_info=error)
        count_failure("application_error")
