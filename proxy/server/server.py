"""Daphne, extended: upgrades leave Twisted for the node; one life from start to drain, under deadlines.

Install uvloop before this module is imported (`listening.install_uvloop`): Daphne makes its loop on import.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Sequence
from typing import Any

# First, since Twisted is import-order-sensitive with reactors.
from daphne.server import Server  # isort: skip
from daphne.ws_protocol import WebSocketFactory
from twisted.internet import defer
from twisted.internet import reactor as installed_reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import formatEvent, globalLogBeginner

from proxy.server.clients import Application, Clients
from proxy.server.counting import count_failure
from proxy.server.draining import Drain
from proxy.server.http_bounds import HttpRequests
from proxy.server.http_channel import GatewayFactory
from proxy.server.http_request import GatewayRequest
from proxy.server.listening import BACKLOG
from proxy.server.options import ServerOptions
from proxy.server.resets import noticing_resets

reactor: Any = installed_reactor
log = logging.getLogger("gateway.server")

ACCEPTS_AT_ONCE = 32
_TIMEOUTS_SECONDS = 1.0


class GatewayServer(Server):
    """One gateway process. `run()` returns the exit code once it is drained and stopped."""

    loop: asyncio.AbstractEventLoop
    exit_code = 0

    def __init__(
        self,
        application: Application,
        *,
        listening: Sequence[socket.socket],
        options: ServerOptions,
        endpoints: Sequence[str] = (),
    ) -> None:
        """`listening`: sockets that listen already. `endpoints`: Twisted's descriptions, such as `ssl:…`,
        whose WebSockets stay with stock Daphne (no refusals with a body, no flow control)."""
        super().__init__(
            application,
            endpoints=list(endpoints) or ["none"],
            signal_handlers=False,
            http_timeout=options.http_timeout_seconds,
            application_close_timeout=options.application_close_seconds,
            server_name="sluicegate",
        )
        self.options, self.loop = options, reactor._asyncioEventloop
        self.clients = Clients(application, options, loop=self.loop)
        self.http_requests = HttpRequests(options)
        self._listening, self._endpoint_descriptions = list(listening), list(endpoints)
        self._ports: list[Any] = []
        self._drain = Drain(self.clients, http_requests=self._count_http_requests)

    # --- Life -----

    def run(self) -> int:
        """Serve until drained. To be called in the main thread, outside of any event loop."""
        self._prepare()
        asyncio.set_event_loop(self.loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._on_signal)
        life = self.loop.create_task(self._live(), name="server")
        reactor.run(installSignalHandlers=False)
        self._ignore_signals()  # the loop has put back what it found
        if not life.done() or life.cancelled() or life.exception() is not None:
            log.error("the server ended early", exc_info=life.exception() if life.done() else None)
            return 1
        return self.exit_code

    def request_drain(self) -> None:
        """Start to drain; a second time changes nothing. What `manage.py drain` and a lost master call."""
        self._drain.requested.set()

    @property
    def is_draining(self) -> bool:
        return self._drain.requested.is_set()

    def _on_signal(self) -> None:
        """The first signal drains, a second one hurries."""
        if self._drain.requested.is_set():
            self._drain.hurried = True
        self.request_drain()

    async def _live(self) -> None:
        hooks = self.options.hooks
        try:
            await hooks.on_started()
        except Exception:
            log.exception("the start failed")
            self.exit_code = 1
            self.stop()
            return
        try:
            await self._listen()
            _spare_the_collector()
            self.clients.start_clock()
            hooks.on_serving()
            await self._drain.requested.wait()
            await self._leave_the_sockets()
            await self._drain.run()
        except Exception:
            log.exception("the server failed")
            self.exit_code = 1
        finally:
            await self._stop()

    async def _stop(self) -> None:
        self.clients.stop_clock()
        try:
            async with asyncio.timeout(self.options.stop_timeout_seconds):
                await self.options.hooks.on_stopped()
        except Exception:
            log.exception("the stop was not clean")
            self.exit_code = 1
        self._ignore_signals()
        self.stop()

    def _ignore_signals(self) -> None:
        """One more signal, as the process ends well, must not turn that into a death by signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _prepare(self) -> None:
        """What Daphne's own run() sets up, but for its listening and its signal handlers."""
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = GatewayFactory(self)
        self.ws_factory = WebSocketFactory(self, server=self.server_name)
        self.ws_factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.options.limits.max_message_bytes,
            maxFramePayloadSize=self.options.limits.max_message_bytes,
        )
        globalLogBeginner.beginLoggingTo([_log_of_twisted], redirectStandardIO=False, discardBuffer=True)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(_TIMEOUTS_SECONDS, self.timeout_checker)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)

    # --- Listening -----

    async def _listen(self) -> None:
        for listening in self._listening:
            listening.setblocking(False)  # uvloop sees to it, no other loop does
            port = reactor.adoptStreamPort(listening.fileno(), listening.family, self.http_factory)
            log.info("listening on %s", _url(listening))
            listening.close()  # the port has its own copy
            self._take_port(port)
        for description in self._endpoint_descriptions:
            endpoint = serverFromString(reactor, description)
            self._take_port(await endpoint.listen(self.http_factory).asFuture(self.loop))
            log.info("listening on %s", description.partition(":")[0])

    def _take_port(self, port: Any) -> None:
        """Have it accept a few at a time: a crowd is read between, and nobody in it passes for silent.

        What it accepts hears of resets.
        """
        accept_some = port.doRead

        def accept_few() -> None:
            port.numberAccepts = ACCEPTS_AT_ONCE  # Twisted raises it whenever there were as many
            accept_some()

        port.doRead = accept_few
        port.transport = noticing_resets(port.transport)
        self._ports.append(port)

    async def _leave_the_sockets(self) -> None:
        """Accept no more, but for those who would be left to nobody."""
        hooks = self.options.hooks
        hooks.on_draining()
        for port in self._ports:
            port.stopReading()  # until it is known whether others accept, who comes may be theirs
        if not await hooks.others_accept():
            await self._empty_the_backlog()
        for port in self._ports:
            await defer.maybeDeferred(port.stopListening).asFuture(self.loop)

    async def _empty_the_backlog(self) -> None:
        """Take what the kernel has already accepted for us: who got through is to get an answer, no reset."""
        for port in self._ports:
            for _ in range(BACKLOG // ACCEPTS_AT_ONCE + 1):
                port.doRead()
                if port.numberAccepts < ACCEPTS_AT_ONCE:  # as many as there were
                    break
                await asyncio.sleep(0)

    # --- HTTP applications -----

    def _count_http_requests(self) -> int:
        """Those that an application works on; what autobahn serves (TLS) is cancelled in the end."""
        return sum(
            isinstance(protocol, GatewayRequest) and "application_instance" in details
            for protocol, details in self.connections.items()
        )

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        queue = super().create_application(protocol, scope)
        running = self.connections.get(protocol, {}).get("application_instance")
        if running is not None:
            if isinstance(protocol, GatewayRequest) and not protocol.is_probe:
                self._count(running, protocol)
            running.add_done_callback(lambda _: self._on_http_application_end(protocol))
        return queue

    def _count(self, running: asyncio.Future[Any], request: GatewayRequest) -> None:
        self.http_requests.began(request.client_address)
        running.add_done_callback(lambda _: request.uncount())

    def _on_http_application_end(self, protocol: Any) -> None:
        """At once what Daphne's application_checker would do up to a second later."""
        details = self.connections.get(protocol)
        if details is None or "application_instance" not in details:
            return
        running = details.pop("application_instance")
        error = None if running.cancelled() else running.exception()
        if error is not None:
            log.error("application failed", exc_info=error)
            count_failure("application_error")
            if "disconnected" not in details:
                protocol.handle_exception(error)
        if "disconnected" in details:
            self.connections.pop(protocol, None)

    def protocol_disconnected(self, protocol: Any) -> None:
        details = self.connections.get(protocol)
        if details is None:
            return
        super().protocol_disconnected(protocol)
        if "application_instance" not in details:
            del self.connections[protocol]

    def timeout_checker(self) -> None:
        """Daphne's clock for requests; its own asks those that are gone, too, and stops when one raises."""
        reactor.callLater(_TIMEOUTS_SECONDS, self.timeout_checker)
        for protocol, details in tuple(self.connections.items()):
            if "disconnected" not in details:
                self._enforce_timeouts(protocol)

    def _enforce_timeouts(self, protocol: Any) -> None:
        try:
            protocol.check_timeouts()
        except Exception:  # one request's fault must not stop the clock of all others
            log.exception("a request's deadline could not be enforced")
            count_failure("tick_failed")

    def kill_all_applications(self) -> Any:
        """Cancel what is left; unlike Daphne's, it survives entries without an application."""
        running = [
            details["application_instance"]
            for details in self.connections.values()
            if "application_instance" in details
        ]
        for application in running:
            application.cancel()
        if not running:
            return None
        return defer.Deferred.fromFuture(asyncio.gather(*running, return_exceptions=True))


def _log_of_twisted(event: dict[str, Any]) -> None:
    """Twisted tells of each socket; only what goes wrong is worth a line."""
    level = getattr(logging, event["log_level"].name.upper())  # WARN is an alias, the others are the same
    if level < logging.WARNING:
        return
    failure = event.get("log_failure")
    error = failure.value if failure is not None else None
    logging.getLogger("twisted").log(level, formatEvent(event) or "failed", exc_info=error)


def _spare_the_collector() -> None:
    """What was imported stays: the collector need not look through it while links wait."""
    gc.collect()
    gc.freeze()


def _url(listening: socket.socket) -> str:
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if listening.family == socket.AF_INET6 else f"http://{host}:{port}"
