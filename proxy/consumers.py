"""The gateway's consumer: a socket's way from the handshake to the record of its end."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from proxy import control, handshake, metrics
from proxy.admission import admit
from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import AuthenticationFailed, GatewayError, LegClosed, NotFound
from proxy.core.principal import Principal
from proxy.core.routes import Route
from proxy.engine.link import Link
from proxy.engine.pool import Lease
from proxy.joins import SPLICE_EXTENSION, Join, RelayJoin, SpliceJoin
from proxy.refusals import refuse
from proxy.runtime import Runtime, running_runtime

logger = logging.getLogger(__name__)


class ClientLeft(Exception):
    """The client went away before it was answered."""


class GatewayConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Joins a client to its route's upstream: admit, dial, hear topics, and only then accept.

    It has its own `__call__`, since the stock dispatch costs three times the connection and a thread hop a
    message; events reach the link through the runtime's hub, decoded once a process.
    """

    runtime: Runtime
    link: Link
    lease: Lease[Any]
    join: Join

    def __init__(self, route: Route) -> None:
        super().__init__()
        self.route = route

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.base_receive, self.base_send = scope, receive, send
        self.runtime = await running_runtime()
        self._started = time.perf_counter()
        await receive()  # websocket.connect
        try:
            await self.connect()
        except GatewayError as error:
            await self._refuse(error)
        except ClientLeft:
            self._count_handshake("client_left")
        else:
            await self._serve()

    async def connect(self) -> None:
        """Admit, dial, and join the topics. Nothing is accepted yet.

        Raises:
            GatewayError: the handshake must be refused.
            ClientLeft: there is nobody left to answer.
        """
        admit(self.scope, self.runtime)
        subject = handshake.subject_of(self.scope, self.route, connection_id=uuid.uuid4().hex)
        self.link = Link(
            handshake.record_of(self.scope, self.route, subject),
            topics=handshake.topics_of(self.route, subject),
        )
        self.join = self._choose_join()
        request = handshake.dial_request(
            self.scope, self.route, subject, extensions=self._extensions_to_offer()
        )
        pool = self.runtime.pool(self.route)
        with metrics.DIAL_SECONDS.labels(pool.name).time():
            self.lease = await self._while_client_waits(
                pool.dial(self.runtime.dialler, self.join.dial, request, key=subject.principal.user_id)
            )
        self.link.record.upstream = self.lease.member

    def _choose_join(self) -> Join:
        route, limits = self.route, self.runtime.limits
        if SPLICE_EXTENSION in (self.scope.get("extensions") or {}):
            observer = self.runtime.observer(route)
            return SpliceJoin(route, limits=limits, observer=observer, receive=self.base_receive)
        return RelayJoin(route, limits=limits, receive=self.base_receive, send=self.base_send)

    def _extensions_to_offer(self) -> str | None:
        """The client's offer, where we need not look into messages; a relay speaks for itself."""
        if self.route.control or isinstance(self.join, RelayJoin):
            return None
        return handshake.header(self.scope, b"sec-websocket-extensions") or None

    async def _while_client_waits(self, dialling: Any) -> Lease[Any]:
        """The result of `dialling`, given up as soon as the client leaves."""
        dial = asyncio.create_task(dialling, name="dial")
        leaving = asyncio.create_task(self.base_receive(), name="leaving")
        try:
            await asyncio.wait({dial, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not dial.done():
                raise ClientLeft
        except BaseException:
            await _abandon(dial)
            raise
        finally:
            leaving.cancel()
        if leaving.done() and not leaving.cancelled():
            await _abandon(dial)
            raise ClientLeft
        lease: Lease[Any] = dial.result()
        return lease

    async def _serve(self) -> None:
        """Accept, and keep the link until it ends, however it does."""
        link, route = self.link, self.route
        ended = LegClosed(closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)
        gauge = metrics.CONNECTIONS.labels(route.name, route.upstream.name)
        gauge.inc()
        try:
            await self.runtime.hub.join(link, link.topics)
            accept = {"type": "websocket.accept", "subprotocol": self._subprotocol()}
            await self.base_send(accept | self.join.accepting(link, self.lease.leg))
            self._accepted()
            ended = await self.join.run(link, self._control)
        except asyncio.CancelledError:
            ended = LegClosed(closes.GOING_AWAY, by=ClosedBy.GATEWAY)
            raise
        finally:
            gauge.dec()
            self._ended(ended.close, ended.by)

    def _subprotocol(self) -> str | None:
        """What to answer: the upstream's choice, else `bearer` if the token came that way."""
        chosen: str | None = self.lease.leg.subprotocol
        if chosen is None and self.scope["bearer_subprotocol"]:
            chosen = "bearer"
        self.link.record.subprotocol = chosen or ""
        return chosen

    def _accepted(self) -> None:
        link = self.link
        self._count_handshake("accepted")
        self.runtime.opened(link)
        self.runtime.recorder.note(link.record)
        self._extend(self.scope["principal"])
        logger.info("link opened", extra=self._log_fields())

    def _extend(self, principal: Principal) -> None:
        """Let the link live as long as this principal's token, and a grace."""
        left = control.seconds_left(principal, grace_seconds=self.runtime.limits.token_grace_seconds)
        if left is not None:
            self.link.expire_in(left, self._expire)

    def _expire(self) -> None:
        self.link.end(closes.TOKEN_EXPIRED, ClosedBy.GATEWAY)

    async def _control(self, text: str) -> None:
        reply = control.answer(self.link, text, verify=self.runtime.verifier.verify, extend=self._extend)
        await self.send(text_data=reply)

    def _ended(self, close: Close, by: ClosedBy) -> None:
        link, runtime = self.link, self.runtime
        link.ended()
        now = datetime.now(UTC)
        link.update_record(now=now, loop_time=asyncio.get_running_loop().time())
        link.record.end(close, by=by, at=now)
        runtime.recorder.note(link.record)
        runtime.hub.leave(link, link.topics)
        self.lease.release(lost=by is ClosedBy.UPSTREAM and close.code == closes.ABNORMAL)
        runtime.closed(link)
        self._count_link(by)
        fields = {"code": close.code, "reason": close.reason, "closed_by": by.value}
        logger.info("link closed", extra=self._log_fields() | fields)

    async def _refuse(self, error: GatewayError) -> None:
        route = self.route
        self._count_handshake(error.outcome)
        metrics.REJECTIONS_TOTAL.labels(route.name, error.outcome).inc()
        if isinstance(error, AuthenticationFailed):
            metrics.AUTH_FAILURES_TOTAL.labels(error.reason).inc()
        logger.info(
            "handshake refused",
            extra={
                "route": route.name,
                "request_id": self.scope["request_id"],
                "client_address": self.scope["client_address"],
                "why": str(error),
            },
        )
        await refuse(self.scope, self.base_send, error, unauthenticated_status=route.unauthenticated_status)

    def _count_handshake(self, outcome: str) -> None:
        seconds = time.perf_counter() - self._started
        metrics.HANDSHAKE_SECONDS.labels(self.route.name, outcome).observe(seconds)
        metrics.CONNECTIONS_TOTAL.labels(self.route.name, outcome).inc()

    def _count_link(self, by: ClosedBy) -> None:
        name, record = self.route.name, self.link.record
        assert record.closed_at is not None  # noqa: S101  _ended() has just set it
        lived = (record.closed_at - record.opened_at).total_seconds()
        metrics.CONNECTION_DURATION_SECONDS.labels(name, f"closed_by_{by.value}").observe(lived)
        metrics.count_traffic(self.link)

    def _log_fields(self) -> dict[str, Any]:
        record = self.link.record
        return {
            "route": record.route,
            "connection_id": record.id,
            "request_id": record.request_id,
            "user_id": record.user_id,
        }


class NoSuchPath(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Answers whatever no route matches."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        metrics.REJECTIONS_TOTAL.labels("none", NotFound.code).inc()
        await refuse(scope, send, NotFound("no route"))


async def _abandon(dial: asyncio.Task[Lease[Any]]) -> None:
    """Give a dial up, and drop the leg if it was just won."""
    dial.cancel()
    await asyncio.wait({dial})
    if not dial.cancelled() and dial.exception() is None:
        lease = dial.result()
        lease.leg.abort()
        lease.release()
