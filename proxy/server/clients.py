"""The clients of this process: who may join, who has to go, and what the clock says. Knows no Twisted."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from proxy import metrics
from proxy.server import handshake
from proxy.server.client import Application, Client
from proxy.server.counting import count_failure, count_refusal
from proxy.server.handshake import BadHandshake, UpgradeRequest
from proxy.server.handshake_leg import HandshakeLeg
from proxy.server.options import ServerOptions

log = logging.getLogger("gateway.server")


class Clients:
    """Everything that the clients of one process share."""

    def __init__(
        self,
        application: Application,
        options: ServerOptions,
        *,
        loop: asyncio.AbstractEventLoop,
        on_refused: Callable[[UpgradeRequest, int], None] = lambda request, status: None,
    ) -> None:
        self.application, self.options, self.loop = application, options, loop
        self.present: set[Client] = set()
        self.is_empty = asyncio.Event()
        self.is_empty.set()
        self.on_orphaned: Callable[[], None] = lambda: None
        self.on_refused = on_refused
        self._ending: dict[Client, float] = {}
        self._upgrades: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    # --- Clients come and go -----

    def take(self, connection: socket.socket, request: UpgradeRequest) -> None:
        """Serve an upgrade on its own socket, which is no longer anybody else's."""
        client = Client(self)
        leg = HandshakeLeg(client, request)
        self.present.add(client)
        self.is_empty.clear()
        task = self.loop.create_task(self._connect(leg, connection, request), name="upgrade")
        self._upgrades.add(task)
        task.add_done_callback(self._upgrades.discard)

    async def _connect(self, leg: HandshakeLeg, connection: socket.socket, request: UpgradeRequest) -> None:
        """A short life: attach the socket to the loop, then answer, or let the application answer."""
        try:
            await self.loop.connect_accepted_socket(lambda: leg, connection)
        except OSError as error:
            log.info("client lost during the upgrade", extra={"error": str(error)})
            connection.close()
            leg.connection_lost(error)
            return
        if not leg.is_answered:
            self._answer(leg, request)

    def _answer(self, leg: HandshakeLeg, request: UpgradeRequest) -> None:
        try:
            accept_key = handshake.accept_key_of(request)
        except BadHandshake as error:
            count_refusal("handshake")
            self.on_refused(request, error.status)
            leg.refuse(error)
            return
        refusal = self.options.hooks.refusal(len(self.present) - 1)
        if refusal is None:
            leg.open(request, accept_key)
            return
        metrics.child(metrics.REJECTIONS_TOTAL, metrics.NO_ROUTE, refusal.code).inc()
        self.on_refused(request, refusal.status)
        if request.wants_refusal_as_close:
            leg.refuse_with_close(refusal, request, accept_key)
        else:
            leg.refuse(refusal)

    def let_go(self, client: Client) -> None:
        """Called when the client's socket is gone, and when its application has ended."""
        if client.task is None and client.is_gone:
            self._ending.pop(client, None)
            self.present.discard(client)
            if not self.present:
                self.is_empty.set()
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
        if self.options.parent_pid not in {None, os.getppid()}:
            self.on_orphaned()
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
