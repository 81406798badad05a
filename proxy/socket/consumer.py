"""The gateway's consumer: a socket's handshake, up to the moment when its link begins to live."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from proxy import metrics
from proxy.core.credentials import BEARER
from proxy.core.errors import AuthenticationFailed, ClientLeft, GatewayError, NotFound, UpstreamUnavailable
from proxy.core.hook_failures import HookFailed, calling_hook
from proxy.core.records import ConnectionRecord
from proxy.core.routes import SINCE, Route
from proxy.engine.links.link import Link
from proxy.node import GatewayNode, running_node
from proxy.socket.admission import authenticate, authorize, check
from proxy.socket.diverting import route_taken
from proxy.socket.handshake_log import log_left, log_opened, log_refused
from proxy.socket.life import Lease, Life
from proxy.socket.opening import Opening
from proxy.socket.refusal_record import refusal_record
from proxy.socket.refusing import refuse, status_of
from proxy.socket.scope import policy_of, record_of, subject_of, topics_of
from proxy.socket.tracing import begin_trace, step, trace_of
from proxy.socket.ways import Way, way_of

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
        self._started = time.perf_counter()
        node = await running_node()
        self.route = route_taken(node, self.route, scope)
        served = node.served[self.route.name]
        begin_trace(node, scope, self.route)
        opening = Opening(scope=scope, receive=receive, send=send, served=served, node=node)
        way = way_of(opening)
        await receive()  # websocket.connect
        try:
            life = await way.until_left(self.open(opening, way))
        except GatewayError as error:
            await self._refuse(node, error)
        except ClientLeft:
            self._count_handshake("client_left")
            log_left(self.scope, route=self.route.name, started=self._started)
        except Exception:
            logger.exception("a handshake failed", extra={"route": self.route.name})
            await self._refuse(node, GatewayError("see the traceback"))
        else:
            self._count_handshake("accepted")
            log_opened(self.scope, life.link.record, started=self._started)
            subprotocol = life.link.record.subprotocol or None
            await way.serve(life, {"type": "websocket.accept", "subprotocol": subprotocol})

    async def open(self, opening: Opening, way: Way) -> Life:
        """Admit, open what is behind the route, and join the topics. Nothing is accepted yet.

        Raises GatewayError: the handshake must be refused. Whatever is raised, nothing is held.
        """
        scope, route, link_id = opening.scope, opening.route, secrets.token_hex(16)
        life = Life(opening.node, opening.served)
        try:
            await check(opening)
            with step(scope, "auth"):
                user_id, address = (await authenticate(opening)).user_id, scope["client_address"]
            with step(scope, "admission"):
                opening.node.rules.check(user_id=user_id, address=address)
                await life.admit(link_id, address=address, user_id=user_id)
                subject = subject_of(scope, route, connection_id=link_id)
                await authorize(opening, subject)
                topics = topics_of(route, subject)
                await life.enter(topics)
            life.policy = policy_of(route, subject)
            with step(scope, "dial"):
                life.hold(await way.open(subject))
            record = record_of(scope, route, subject, topics=topics, upstream=life.lease.member)
            record.subprotocol = self._subprotocol(life.lease)
            link = Link(record, topics=topics, phrase=route.phrase, trace_id=self._traced(record))
            link.shown = scope["shown"]
            await life.hear(link, since=subject.query.get(SINCE))
            opening.node.rules.topics.check(topics)  # one may have been closed while this was dialled
        except BaseException:
            life.give_up()
            raise
        return life

    def _subprotocol(self, lease: Lease) -> str:
        """What to answer: the upstream's choice, else `bearer` if the token came that way, else "": none."""
        with calling_hook("subprotocol"):
            chosen: str | None = lease.leg.subprotocol
            if chosen is not None and chosen not in self.scope["offered_subprotocols"]:
                raise ValueError(f"the client offers no sub-protocol {chosen!r}")
        if chosen is None and self.scope["bearer_subprotocol"]:
            return BEARER
        return chosen or ""

    async def _refuse(self, node: GatewayNode, error: GatewayError) -> None:
        route = self.route
        self._count_handshake(error.outcome, failed=error.status >= 500)
        metrics.child(metrics.REJECTIONS_TOTAL, route.name, error.outcome).inc()
        if isinstance(error, AuthenticationFailed):
            metrics.child(metrics.AUTH_FAILURES_TOTAL, error.reason).inc()
        if isinstance(error, UpstreamUnavailable):  # what a member did has been counted by its name
            metrics.child(metrics.ERRORS_TOTAL, error.code, route.upstream.name).inc()
        if isinstance(error, HookFailed):
            fields = {"route": route.name, "hook": error.hook}
            logger.error("a route's hook failed", extra=fields, exc_info=error)
        status = status_of(error, unauthenticated_status=route.unauthenticated_status)
        log_refused(self.scope, error, route=route.name, status=status, started=self._started)
        node.refused(refusal_record(self.scope, error, route=route.name, status=status))
        await refuse(self.scope, self.base_send, error, unauthenticated_status=route.unauthenticated_status)

    def _traced(self, record: ConnectionRecord) -> str:
        """The id of the handshake's trace, which is told whither it leads; "" where there is none."""
        trace = trace_of(self.scope)
        if trace is None:
            return ""
        trace.to(record.upstream, record.id)
        return trace.trace_id

    def _count_handshake(self, outcome: str, *, failed: bool = False) -> None:
        trace = trace_of(self.scope)
        if trace is not None:
            trace.end(outcome, failed=failed)
        seconds = time.perf_counter() - self._started
        metrics.child(metrics.HANDSHAKE_SECONDS, self.route.name, outcome).observe(seconds)
        metrics.child(metrics.CONNECTIONS_TOTAL, self.route.name, outcome).inc()


class NoSuchPath(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Answers whatever no route matches."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        started, error = time.perf_counter(), NotFound("no route")
        await receive()
        metrics.child(metrics.REJECTIONS_TOTAL, metrics.NO_ROUTE, error.code).inc()
        log_refused(scope, error, route=metrics.NO_ROUTE, status=error.status, started=started)
        node = await running_node()
        node.refused(refusal_record(scope, error, route=metrics.NO_ROUTE, status=error.status))
        await refuse(scope, send, error)
