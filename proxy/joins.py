"""The two ways in which a consumer joins its legs: one behaviour, two costs.

Where the server offers a splice, bytes cross verbatim between the two sockets. Elsewhere (stock Daphne, TLS
endpoints, any other ASGI server) whole messages are relayed between ASGI and a `websockets` client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from proxy import metrics
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import LegClosed
from proxy.core.limits import LinkLimits
from proxy.core.routes import Route
from proxy.downstream import DownstreamLeg, Receive, Send
from proxy.engine.dial import DialRequest, dial_leg
from proxy.engine.legs import UpstreamLeg
from proxy.engine.link import Link
from proxy.engine.rawdial import RawUpstream, dial_raw
from proxy.engine.relay import Relay
from proxy.engine.splice import Observer, SpliceRequest

SPLICE_EXTENSION = "sluicegate.splice"

Control = Callable[[str], Awaitable[None]]
Accept = dict[str, Any]


class Join(Protocol):
    """How one link's legs are joined: `dial`, `accepting`, then, once accepted, `run`."""

    async def dial(self, url: str, request: DialRequest) -> Any:
        """An upstream leg with `subprotocol` and `abort()`; raises as `dial_leg` and `dial_raw` do."""

    def accepting(self, link: Link, leg: Any) -> Accept:
        """What to add to `websocket.accept` so that `link` is joined to `leg`."""

    async def run(self, link: Link, control: Control) -> LegClosed:
        """Keep the accepted link until it ends, and say how it did."""


class RouteObserver(Observer):
    """Counts what happens to a route's spliced links."""

    def __init__(self, route: str) -> None:
        self._slow = metrics.SLOW_CONSUMERS_TOTAL.labels(route)
        self._backpressure = metrics.BACKPRESSURE_EVENTS_TOTAL.labels(route)
        self._dropped = metrics.EVENTS_TOTAL.labels("layer", "dropped")

    def slow_consumer(self) -> None:
        self._slow.inc()

    def backpressure(self) -> None:
        self._backpressure.inc()

    def events_dropped(self, count: int) -> None:
        self._dropped.inc(count)


class SpliceJoin:
    """Bytes cross verbatim; the consumer wakes for control messages and for the end only."""

    __slots__ = ("_limits", "_observer", "_receive", "_request", "_route")

    def __init__(self, route: Route, *, limits: LinkLimits, observer: Observer, receive: Receive) -> None:
        self._route, self._limits, self._observer, self._receive = route, limits, observer, receive
        self._request: SpliceRequest | None = None

    async def dial(self, url: str, request: DialRequest) -> RawUpstream:
        return await dial_raw(url, request, limits=self._limits)

    def accepting(self, link: Link, leg: RawUpstream) -> Accept:
        self._request = SpliceRequest(
            upstream=leg,
            limits=self._limits,
            counters=link.counters,
            control=self._route.control,
            overflow=self._route.overflow,
            observer=self._observer,
        )
        accept: Accept = {SPLICE_EXTENSION: self._request}
        if leg.extensions is not None:
            accept["headers"] = [(b"sec-websocket-extensions", leg.extensions.encode("latin-1"))]
        return accept

    async def run(self, link: Link, control: Control) -> LegClosed:
        request, self._request = self._request, None
        if request is not None and request.splice is not None:  # None: the client left before it was accepted
            link.begin(request.splice)
        elif request is not None:
            request.upstream.abort()
        del request  # an idle link keeps no more than it needs
        while True:
            message = await self._receive()
            if message["type"] == "websocket.receive":
                await control(message["text"])
                continue
            close = Close(message["code"], message["reason"])
            return LegClosed(close, by=message.get("sluicegate.closed_by", ClosedBy.CLIENT))


class RelayJoin:
    """Whole messages are pumped between ASGI and the upstream."""

    __slots__ = ("_leg", "_limits", "_receive", "_route", "_send")

    def __init__(self, route: Route, *, limits: LinkLimits, receive: Receive, send: Send) -> None:
        self._route, self._limits, self._receive, self._send = route, limits, receive, send
        self._leg: UpstreamLeg | None = None

    async def dial(self, url: str, request: DialRequest) -> UpstreamLeg:
        return await dial_leg(url, request, limits=self._limits)

    def accepting(self, link: Link, leg: UpstreamLeg) -> Accept:
        self._leg = leg
        return {}

    async def run(self, link: Link, control: Control) -> LegClosed:
        assert self._leg is not None  # noqa: S101  accepting() comes first
        relay = Relay(
            DownstreamLeg(self._receive, self._send),
            self._leg,
            limits=self._limits,
            counters=link.counters,
            overflow=self._route.overflow,
            control=control if self._route.control else None,
            on_slow=metrics.SLOW_CONSUMERS_TOTAL.labels(self._route.name).inc,
        )
        link.begin(relay)
        return await relay.run()
