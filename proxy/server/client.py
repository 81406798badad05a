"""One client, from its upgrade to its end: who has its socket by now, and the application that serves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.server.counting import count_failure
from proxy.server.handshake import UpgradeRequest
from proxy.server.inbox import Inbox
from proxy.server.options import ServerOptions

log = logging.getLogger("gateway.server")

Application = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]


class Leg(Protocol):
    """What has a client's socket: its handshake, then its conversation or a splice."""

    @property
    def is_live(self) -> bool:
        """Accepted, and nobody has begun to close it."""

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI send. Waits while the client has too much to read; does nothing once the leg has ended.

        Raises:
            ValueError: the event is malformed or out of place.
        """

    def close(self, close: Close, *, by: ClosedBy) -> None:
        """Start to close an accepted leg, under a deadline."""

    def abort(self) -> None:
        """Drop the socket at once."""

    def tick(self, now: float) -> None:
        """Look at the clock, about once a second."""

    def application_ended(self, *, well: bool) -> None:
        """It has returned, or else it has failed or was cancelled."""


class Registry(Protocol):
    """What the clients of one process share, as far as one of them is concerned."""

    application: Application
    options: ServerOptions
    loop: asyncio.AbstractEventLoop
    on_refused: Callable[[UpgradeRequest, int], None]

    def let_go(self, client: Client) -> None:
        """Called when the client's socket is gone, and when its application has ended."""


class Client:
    """Kept until its socket is gone and its application has ended.

    Attributes:
        leg: whoever has the socket, or had it last.
        task: the application's, or of what goes on in its place; None before and after.
        inbox: what waits for the application; None once that has ended.
    """

    __slots__ = ("inbox", "is_gone", "leg", "registry", "task")

    leg: Leg

    def __init__(self, registry: Registry) -> None:
        options = registry.options
        self.registry, self.is_gone = registry, False
        self.task: asyncio.Future[None] | None = None
        self.inbox: Inbox | None = Inbox(
            max_bytes=options.receive_queue_bytes, max_events=options.receive_queue_messages
        )

    # --- For its legs -----

    def serve(self, scope: dict[str, Any]) -> None:
        """Call the application."""
        assert self.inbox is not None  # noqa: S101  no application has ended yet
        self.inbox.put({"type": "websocket.connect"})
        try:
            running = self.registry.application(scope, self.inbox.receive, self._send)
        except Exception as error:  # noqa: BLE001  an application's outermost edge
            self._application_failed(error)
            self.leg.application_ended(well=False)
            return
        self.go_on_with(running)

    def go_on_with(self, serving: Awaitable[None]) -> None:
        """From now on it is `serving` that serves the client, until its end.

        An application that hands it over may return: its scope and the coroutines around it weigh no more.
        """
        self.task = asyncio.ensure_future(serving, loop=self.registry.loop)
        self.task.add_done_callback(self._on_application_end)

    def cancel(self) -> None:
        """End the application by force; not before its first step, or nothing of it would clean up."""
        if self.task is not None:
            self.registry.loop.call_soon(self.task.cancel)

    def end(self, close: Close, *, by: ClosedBy) -> None:
        """Tell the application that the leg has ended, or begins to; the first end wins."""
        if self.inbox is not None:
            self.inbox.end(close, by=by)

    def socket_gone(self) -> None:
        self.is_gone = True
        self.end(closes.LOST, by=ClosedBy.CLIENT)
        self.registry.let_go(self)

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
        self.registry.let_go(self)

    def _application_failed(self, error: BaseException) -> None:
        log.error("application failed", exc_info=error)
        count_failure("application_error")
