"""The gateway's consumer: a socket's handshake, up to the moment when its link begins to live."""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import ExitStack
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from proxy import metrics
from proxy.core.errors import (
    AuthenticationFailed,
    ClientLeft,
    GatewayError,
    HookFailed,
    NotFound,
    ServiceRefused,
    UpstreamUnavailable,
)
from proxy.core.limits import OverRate
from proxy.core.routes import Resume, Route, Subject
from proxy.engine.links.link import Link
from proxy.engine.links.resume import AnyLease
from proxy.node import running_node
from proxy.socket import scope as handshake
from proxy.socket.admission import admit
from proxy.socket.handshake_log import log_left, log_opened, log_refused
from proxy.socket.life import Life
from proxy.socket.opening import Opening
from proxy.socket.refusing import refuse, status_of
from proxy.socket.ways import SPLICE_EXTENSION, RelayWay, ResumeWay, SpliceWay, Way, give_up

logger = logging.getLogger(__name__)


class GatewayConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Joins a client to its route's upstream: admit, dial, hear topics, and only then accept.

    It has its own `__call__`, since the stock dispatch costs three times the connection and a thread hop a
    message; events reach the link through the node's hub, decoded once a process.
    """

    def __init__(self, route: Route) -> None:
        super().__init__()
        self.route = route

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.base_receive, self.base_send = scope, receive, send
        self.node = await running_node()
        self._started = time.perf_counter()
        await receive()  # websocket.connect
        opening = Opening(scope=scope, receive=receive, send=send, route=self.route, node=self.node)
        way = _way_for(opening)
        try:
            life = await way.until_left(self.connect(way))
        except GatewayError as error:
            await self._refuse(error)
        except ClientLeft:
            self._count_handshake("client_left")
            log_left(self.scope, route=self.route.name, started=self._started)
        except Exception:
            logger.exception("a handshake failed", extra={"route": self.route.name})
            await self._refuse(GatewayError("see the traceback"))
        else:
            self._count_handshake("accepted")
            log_opened(self.scope, life.link.record, started=self._started)
            await way.serve(life, {"type": "websocket.accept", "subprotocol": self._subprotocol(life)})

    async def connect(self, way: Way) -> Life:
        """Admit, dial, and way the topics. Nothing is accepted yet; whatever is raised, nothing is held.

        Raises:
            GatewayError: the handshake must be refused.
        """
        node, route, connection_id = self.node, self.route, secrets.token_hex(16)
        with ExitStack() as held:
            admitted = await admit(self.scope, node, route, link_id=connection_id)
            held.callback(node.admission.release, admitted)
            subject = handshake.subject_of(self.scope, route, connection_id=connection_id)
            topics = handshake.topics_of(route, subject)
            lease = await self._dial(way, subject)
            held.callback(give_up, lease)
            record = handshake.record_of(self.scope, route, subject, upstream=lease.member)
            link = Link(record, topics=topics, phrase=route.phrase)
            held.callback(node.hub.leave, link, topics)
            await node.hub.join(link, topics)
            life = Life(node, route, link, lease, admitted)
            held.pop_all()
        return life

    async def _dial(self, way: Way, subject: Subject) -> AnyLease:
        request = handshake.dial_request(
            self.scope, self.route, subject, extensions=self._extensions_to_offer(way)
        )
        pool, principal = self.node.pool(self.route), subject.principal
        try:
            return await way.dial(lambda dial: pool.dial(dial, request, key=principal.user_id))
        except ServiceRefused as refused:
            raise handshake.refusal_of(refused, principal) from None

    def _extensions_to_offer(self, way: Way) -> str | None:
        """The client's offer, where we need not look into messages; a relay speaks for itself."""
        limits = self.route.message_limits
        judged = not limits.is_unlimited and limits.over is not OverRate.WAIT
        inspected = self.route.inspect is not None or judged
        if self.route.control or inspected or isinstance(way, RelayWay):
            return None
        return handshake.header(self.scope, b"sec-websocket-extensions") or None

    def _subprotocol(self, life: Life) -> str | None:
        """What to answer: the upstream's choice, else `bearer` if the token came that way."""
        chosen: str | None = life.lease.leg.subprotocol
        if chosen is None and self.scope["bearer_subprotocol"]:
            chosen = "bearer"
        life.link.record.subprotocol = chosen or ""
        return chosen

    async def _refuse(self, error: GatewayError) -> None:
        route = self.route
        self._count_handshake(error.outcome)
        metrics.REJECTIONS_TOTAL.labels(route.name, error.outcome).inc()
        if isinstance(error, AuthenticationFailed):
            metrics.AUTH_FAILURES_TOTAL.labels(error.reason).inc()
        if isinstance(error, UpstreamUnavailable):  # what a member did has been counted by its name
            metrics.ERRORS_TOTAL.labels(error.code, route.upstream.name).inc()
        if isinstance(error, HookFailed):
            fields = {"route": route.name, "hook": error.hook}
            logger.error("a route's hook failed", extra=fields, exc_info=error)
        status = status_of(error, unauthenticated_status=route.unauthenticated_status)
        log_refused(self.scope, error, route=route.name, status=status, started=self._started)
        await refuse(self.scope, self.base_send, error, unauthenticated_status=route.unauthenticated_status)

    def _count_handshake(self, outcome: str) -> None:
        seconds = time.perf_counter() - self._started
        metrics.child(metrics.HANDSHAKE_SECONDS, self.route.name, outcome).observe(seconds)
        metrics.child(metrics.CONNECTIONS_TOTAL, self.route.name, outcome).inc()


def _way_for(opening: Opening) -> Way:
    """The cheapest way that the route and the server allow."""
    if opening.route.resume is Resume.RECONNECT:
        return ResumeWay(opening)
    offered = SPLICE_EXTENSION in (opening.scope.get("extensions") or {})
    return SpliceWay(opening) if offered else RelayWay(opening)


class NoSuchPath(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Answers whatever no route matches."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        started, error = time.perf_counter(), NotFound("no route")
        await receive()
        metrics.REJECTIONS_TOTAL.labels("none", error.code).inc()
        log_refused(scope, error, route="none", status=error.status, started=started)
        await refuse(scope, send, error)
