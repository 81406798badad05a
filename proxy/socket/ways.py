"""The ways in which a link's legs are joined: one behaviour, two costs.

Where the server offers a splice, bytes cross verbatim between the two sockets. Elsewhere (stock Daphne, TLS
endpoints, any other ASGI server), and on routes whose links outlive their member, whole messages are relayed
between ASGI and a `websockets` client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar, Protocol

from structlog.contextvars import bind_contextvars
from websockets.headers import parse_extension

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.errors import ClientLeft, LegClosed, ServiceRefused
from proxy.core.legs import Leg
from proxy.core.limits import OverRate
from proxy.core.principal import Principal
from proxy.core.routes import LegPerLink, Resume, Subject
from proxy.engine.links.pushing import PushingRelay
from proxy.engine.links.relay import Relay
from proxy.engine.links.resume import Reconnected, RenewableLease, ResumingLeg, ResumingRelay
from proxy.engine.links.terms import SpliceRequest, Terms
from proxy.engine.pools.dial import Dial, DialRequest, LegT, dial_leg
from proxy.engine.pools.pool import MemberLease
from proxy.engine.pools.rawdial import dial_raw
from proxy.socket.asgi_leg import AsgiLeg, Receive
from proxy.socket.life import Lease, Life
from proxy.socket.opening import Opening
from proxy.socket.own_leg import OwnLeg, open_own_leg
from proxy.socket.scope import dial_request, header, refusal_of

SPLICE_EXTENSION = "sluicegate.splice"
LIMITS_EXTENSION = "sluicegate.limits"  # of our server, too, for who is not spliced

NO_CONTEXT = "client_no_context_takeover"

Accept = dict[str, Any]


class Way(Protocol):
    """How one link's legs are joined: all before the accept in `until_left`, then `serve`."""

    async def until_left(self, opening: Coroutine[Any, Any, Life]) -> Life:
        """What `opening` gives or raises; cancelled as soon as the client leaves, which raises ClientLeft."""

    async def open(self, subject: Subject) -> Lease:
        """Open what is behind the route, for this link. Raises GatewayError."""

    async def serve(self, life: Life, accept: Accept) -> None:
        """Accept with `accept`, and see to it that `life` is told of its beginning and its end."""


def way_of(opening: Opening) -> Way:
    """The cheapest way that the route and the server allow."""
    if isinstance(opening.route.upstream, LegPerLink):
        return OwnLegWay(opening)
    if opening.route.resume is Resume.RECONNECT:
        return ResumeWay(opening)
    offered = SPLICE_EXTENSION in (opening.scope.get("extensions") or {})
    return SpliceWay(opening) if offered else RelayWay(opening)


async def _dial(
    opening: Opening, request: DialRequest, dial: Dial[LegT], principal: Principal
) -> MemberLease[LegT]:
    """Lease and dial a member of the route's pool. Raises as `Pool.dial` does."""
    pool = opening.served.pool
    assert pool is not None  # noqa: S101  else its way would not dial
    try:
        return await pool.dial(dial, request, key=principal.user_id)
    except ServiceRefused as refused:
        raise refusal_of(refused, principal) from None


def _terms(opening: Opening, life: Life) -> Terms:
    route = opening.route
    return Terms(
        limits=opening.served.limits,
        counters=life.link.counters,
        life=life,
        control=route.control,
        overflow=route.overflow,
        policy=life.policy,
        gate=life.gate,
        farewell=route.farewell,
        route=route.name,
    )


class SpliceWay:
    """Bytes cross verbatim. Once accepted, the splice and the life go on without a task."""

    __slots__ = ("_opening",)

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    async def until_left(self, opening: Coroutine[Any, Any, Life]) -> Life:
        """In this task: the server cancels it when the client leaves, so that nobody has to watch it."""
        offer = self._opening.scope["extensions"][SPLICE_EXTENSION]
        life: Life = await offer["until_left"](opening)
        return life

    async def open(self, subject: Subject) -> Lease:
        opening = self._opening
        request = dial_request(opening.scope, opening.route, subject, extensions=self._extensions_to_offer())
        return await _dial(opening, request, dial_raw, subject.principal)

    def _extensions_to_offer(self) -> str | None:
        """The client's offer, where we need not look into messages."""
        if self._opening.route.control or self._opening.route.policy is not None:
            return None
        return header(self._opening.scope, b"sec-websocket-extensions") or None

    def _extensions_to_answer(self, agreed: str) -> str:
        """What the service agreed to. Where a message may be dropped, none may need those before it.

        A server may ask for that unasked, and whoever keeps its window reads such messages all the same
        (RFC 7692, section 7.1.1.2).
        """
        limits = self._opening.route.message_limits
        said = {name for _, parameters in parse_extension(agreed) for name, _ in parameters}
        if limits.is_unlimited or limits.over is not OverRate.DROP or NO_CONTEXT in said:
            return agreed
        return f"{agreed}; {NO_CONTEXT}"

    async def serve(self, life: Life, accept: Accept) -> None:
        try:
            life.began(self._opening.scope["principal"])
            leg: Any = life.lease.leg
            accept[SPLICE_EXTENSION] = SpliceRequest(leg, _terms(self._opening, life))
            if leg.extensions is not None:
                answer = self._extensions_to_answer(leg.extensions)
                accept["headers"] = [(b"sec-websocket-extensions", answer.encode("latin-1"))]
            await self._opening.send(accept)
        except BaseException:
            life.give_up()
            raise
        if life.link.stream is None:  # the client left in this very moment
            life.give_up(closes.LOST, ClosedBy.CLIENT)
        self._opening.scope.clear()  # its headers, claims and token would stay as long as the link


class RelayWay:
    """Whole messages are pumped between ASGI and the upstream, while the handshake's task waits."""

    __slots__ = ("_early", "_opening")
    relay_class: ClassVar[type[Relay]] = Relay

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._early: dict[str, Any] | None = None

    async def until_left(self, opening: Coroutine[Any, Any, Life]) -> Life:
        """In a task of its own, beside which the client is listened to."""
        life, self._early = await while_client_waits(opening, self._opening.receive)
        return life

    async def open(self, subject: Subject) -> Lease:
        opening = self._opening
        request = dial_request(opening.scope, opening.route, subject, extensions=None)
        return await self._lease(request, subject.principal)

    async def _lease(self, request: DialRequest, principal: Principal) -> Lease:
        dial = partial(dial_leg, limits=self._opening.served.limits)
        return await _dial(self._opening, request, dial, principal)

    async def serve(self, life: Life, accept: Accept) -> None:
        scope, record = self._opening.scope, life.link.record
        offer = (scope.get("extensions") or {}).get(SPLICE_EXTENSION)
        try:
            life.began(scope["principal"])
            # For whatever is logged in this task and its pumps: a context is a task's own.
            bind_contextvars(connection_id=record.id, request_id=record.request_id)
            relay = self._relay(life)
            if offer is not None:
                accept[LIMITS_EXTENSION] = self._opening.served.limits
            await self._opening.send(accept)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            life.give_up(closes.GOING_AWAY if cancelled else closes.INTERNAL_ERROR)
            raise
        scope.clear()  # its headers, claims and token would stay as long as the link
        if offer is None:
            await _run(relay, life)
        else:  # so would the coroutines of middleware and routing, with scopes of their own
            offer["go_on_with"](_run(relay, life))

    def _relay(self, life: Life) -> Relay:
        opening = self._opening
        client = AsgiLeg(opening.receive, opening.send, early=self._early)
        return self.relay_class(client, self._upstream(life), _terms(opening, life))

    def _upstream(self, life: Life) -> Leg:
        leg: Leg = life.lease.leg
        return leg


class ResumeWay(RelayWay):
    """A relay whose upstream may be another member from one message to the next."""

    __slots__ = ()
    relay_class = ResumingRelay

    async def _lease(self, request: DialRequest, principal: Principal) -> Lease:
        dial = partial(dial_leg, limits=self._opening.served.limits)
        lease = await _dial(self._opening, request, dial, principal)
        pool: Any = self._opening.served.pool
        again = partial(pool.dial, request=request, key=principal.user_id)
        return RenewableLease(lease, dial=dial, dialling=again)

    def _upstream(self, life: Life) -> Leg:
        lease, route = life.lease, self._opening.route
        assert isinstance(lease, RenewableLease)  # noqa: S101  it is what dial() answers

        def observe(outcome: Reconnected) -> None:
            life.lost_member(lease.member, is_found=outcome is Reconnected.CONNECTED)
            metrics.child(metrics.RECONNECTS_TOTAL, route.name, outcome.value).inc()

        return ResumingLeg(lease, limits=self._opening.served.limits, tell=route.tell_resume, observe=observe)


class OwnLegWay(RelayWay):
    """A relay to a leg that the route itself has made for this link."""

    __slots__ = ()

    async def open(self, subject: Subject) -> Lease:
        upstream = self._opening.route.upstream
        assert isinstance(upstream, LegPerLink)  # noqa: S101  else another way would have been taken
        return await open_own_leg(upstream, subject, self._opening.served.limits)

    def _relay(self, life: Life) -> Relay:
        opening, upstream = self._opening, self._opening.route.upstream
        assert isinstance(upstream, LegPerLink)  # noqa: S101  as in `open`
        client = AsgiLeg(opening.receive, opening.send, early=self._early)
        offer = (opening.scope.get("extensions") or {}).get(SPLICE_EXTENSION)
        writer = None if offer is None else offer["writer"]
        leg: OwnLeg = life.lease.leg
        terms = _terms(opening, life)
        receives, bounds_sends = not leg.only_pushes, upstream.bounds_sends
        return PushingRelay(client, leg, terms, writer=writer, receives=receives, bounds_sends=bounds_sends)


async def _run(relay: Relay, life: Life) -> None:
    """The link's life behind the accept."""
    ended = LegClosed(closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)
    try:
        life.joined(relay)
        ended = await relay.run()
    except asyncio.CancelledError:
        ended = LegClosed(closes.GOING_AWAY, by=ClosedBy.GATEWAY)
        raise
    finally:
        life.lease.leg.abort()  # nothing more to do after a close; else nobody else would end it
        life.ended(ended.close, ended.by)


async def while_client_waits(
    opening: Coroutine[Any, Any, Life], receive: Receive
) -> tuple[Life, dict[str, Any] | None]:
    """The result of `opening`, given up as soon as `receive` tells that the client left.

    And what an impatient client has sent meanwhile: one message, behind which no more is received, so that
    the server's own bound holds for the rest.
    """
    connect = asyncio.create_task(opening, name="connect")
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({connect, leaving}, return_when=asyncio.FIRST_COMPLETED)
        early = leaving.result() if leaving.done() else None
        if early is not None and early["type"] == "websocket.disconnect":
            raise ClientLeft
        if not connect.done():
            await asyncio.wait({connect})
        return connect.result(), early
    except BaseException:
        connect.add_done_callback(_drop_what_was_won)  # also if this wait is cancelled as well
        connect.cancel()
        await asyncio.wait({connect})
        raise
    finally:
        leaving.cancel()


def _drop_what_was_won(connect: asyncio.Task[Life]) -> None:
    """What was given up may have been won in the same moment."""
    if not connect.cancelled() and connect.exception() is None:
        connect.result().give_up()
