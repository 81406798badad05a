"""A link from its admission to its end: what it holds, and what is counted, recorded and logged of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any, Protocol

from proxy import metrics
from proxy.cluster.revocation_watch import shown_by
from proxy.core import closes
from proxy.core.causes import Cause
from proxy.core.closes import ABNORMAL, Close, ClosedBy
from proxy.core.errors import GatewayError
from proxy.core.hook_failures import HookFailed
from proxy.core.human import one_line
from proxy.core.message_gate import MessageGate
from proxy.core.policies import Policy
from proxy.core.principal import Principal
from proxy.core.routes import LegPerLink, Resume, Route
from proxy.core.wire.control_messages import encode_error
from proxy.engine.admission.shared_caps import Seat
from proxy.engine.links.link import Link, Stream
from proxy.engine.links.traffic import count_traffic
from proxy.node import GatewayNode
from proxy.served import ServedRoute
from proxy.socket import control

logger = logging.getLogger(__name__)

Step = Callable[[], object]


class Lease(Protocol):
    """The use of what is behind a link: its open leg, whose it is, and how it is given back."""

    @property
    def leg(self) -> Any:
        """As its way knows it; it can be aborted, and says which sub-protocol was chosen."""

    @property
    def member(self) -> str:
        """Its URL or name, a bounded label."""

    def release(self, *, lost: bool = False) -> None:
        """The link has ended; `lost`: without a close from the member."""


class _Phase(Enum):
    OPENING = "opening"
    LIVE = "live"
    OVER = "over"


class Life:
    """One link and all that it holds: a seat, the use of a member, its topics, a gate, a place in the record.

    It acquires them in this order (what it has not got yet is None or not there), and its end gives back what
    it holds by then, whatever step failed or was cancelled. On a spliced link it is all of the gateway's own
    that stays in memory: the splice calls it for control messages and once at the end.
    """

    __slots__ = ("_phase", "gate", "lease", "link", "node", "policy", "seat", "served")
    lease: Lease
    link: Link

    def __init__(self, node: GatewayNode, served: ServedRoute) -> None:
        self.node, self.served = node, served
        self._phase = _Phase.OPENING
        self.seat: Seat | None = None
        self.gate: MessageGate | None = None
        self.policy: Policy | None = None

    @property
    def route(self) -> Route:
        return self.served.route

    async def admit(self, link_id: str, *, address: str, user_id: str) -> None:
        """Take a seat among the links of that address and user. Raises TooMany."""
        caps = self.served.caps
        self.seat = await self.node.admission.admit(link_id, caps, address=address, user_id=user_id)

    async def enter(self, topics: tuple[str, ...]) -> None:
        """Take a place in each topic that has room for so many. Raises ClosedForMaintenance, Full."""
        rules = self.node.rules.topics
        rules.check(topics)
        capacities = rules.capacities(topics)
        if capacities and self.seat is not None:  # with which they are given back
            await self.node.admission.places.take(self.seat.link_id, capacities)

    def hold(self, lease: Lease) -> None:
        """What is behind the link is open; from now on the life sees to its end."""
        self.lease = lease

    async def hear(self, link: Link, *, since: str | None = None) -> None:
        """Join the link's topics, and open its gate for the client's messages.

        `since` is what the client says to have heard, to be told what it missed; None: it says nothing.
        """
        self.link = link
        await self.node.hub.join(link, link.topics)
        if since is not None and (histories := self.route.histories):
            bytes_at_most = self.served.limits.outbox_bytes
            await self.node.catching_up.catch_up(link, histories, since=since, outbox_bytes=bytes_at_most)
        if self.served.gates is not None:
            self.gate = self.served.gates.open(link.record.user_id)

    def began(self, principal: Principal) -> None:
        """The link is accepted."""
        self._phase = _Phase.LIVE
        self._count_live(1)
        self.node.opened(self.link)  # which ends it at once if staff keep its client out by now
        self.node.recorder.note(self.link.record)
        self.extend(principal)

    def joined(self, stream: Stream) -> None:
        """Frames flow, and it counts among its user's, unless it was ended before they could."""
        may_begin = self.link.may_begin
        self.link.begin(stream)
        if may_begin and self.seat is not None:
            self.node.admission.opened(self.seat)

    def extend(self, principal: Principal) -> None:
        """Let the link live as long as this principal's token, and a grace."""
        left = control.seconds_left(principal, grace_seconds=self.served.limits.token_grace_seconds)
        if left is not None:
            self.link.expire_in(left)

    def _verify(self, token: str) -> Principal:
        """Whose that new token is. Raises as `verify` does, and TokenRevoked."""
        principal = self.node.verifier.verify(token)
        self.node.rules.revocations.check(principal.user_id, shown_by(principal))
        return principal

    def _refreshed(self, principal: Principal) -> None:
        """The client has brought a new token; a leg of the route's own may go on by it."""
        self.extend(principal)
        self.link.shown = shown_by(principal)
        if isinstance(self.route.upstream, LegPerLink):
            self.lease.leg.refreshed(principal)

    def lost_member(self, next_member: str, *, is_found: bool) -> None:
        """An outage is over. The link leads to `next_member` now, unless none was found."""
        self._count_error("upstream_lost")
        if self._phase is _Phase.LIVE:
            record, lost = self.link.record, self.link.record.upstream
            self._count_live(-1)
            record.upstream = next_member
            self._count_live(1)
            if is_found:
                self.node.link_events.carried_over(record, lost=lost, at=datetime.now(UTC))

    def control(self, text: str) -> str:
        """The answer to one of the client's control messages. Never raises: beyond it are link and loop."""
        try:
            verify = self._verify if self.route.authenticate is None else None
            return control.answer(self.link, text, verify=verify, extend=self._refreshed)
        except Exception:
            logger.exception("a control message failed", extra=self.link.log_fields)
            return encode_error(GatewayError.code, GatewayError.message)

    def failed(self, error: HookFailed) -> None:
        """The route's own code failed on the open link: tell operators which, and of which link."""
        fields = self.link.log_fields | {"hook": error.hook}
        logger.error("a route's hook failed", extra=fields, exc_info=error)

    def ended(self, close: Close, by: ClosedBy) -> None:
        """The link is over: `close` as received (1005: empty, 1006: lost) or sent, and by whom. Once."""
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        link, now = self.link, datetime.now(UTC)
        lived_seconds = (now - link.record.opened_at).total_seconds()
        self._take_each(
            link.ended,
            partial(self._record_end, close, by, now=now),
            *self._releases(lost=by is ClosedBy.UPSTREAM and close.code == ABNORMAL),
            partial(self.node.closed, link),
            partial(self._count_end, close, by, lived_seconds=lived_seconds),
            partial(self._log_end, close, by, lived_seconds=lived_seconds),
        )

    def give_up(self, close: Close = closes.INTERNAL_ERROR, by: ClosedBy = ClosedBy.GATEWAY) -> None:
        """The handshake or its accept came to nothing: nobody else ends what is behind the link."""
        if self._phase is _Phase.LIVE and self.link.stream is not None:
            self._take_each(self.link.stream.abort)
        if hasattr(self, "lease"):
            self._take_each(self.lease.leg.abort)
        if self._phase is _Phase.OPENING:
            self._phase = _Phase.OVER
            self._take_each(*self._releases(lost=False))
        else:
            self.ended(close, by)

    def _releases(self, *, lost: bool) -> Iterator[Step]:
        """What gives back all that it holds, the last first; `lost`: the member went without a close."""
        node, gates = self.node, self.served.gates
        if self.gate is not None and gates is not None:
            yield partial(gates.close, self.link.record.user_id)
        if hasattr(self, "link"):
            yield partial(node.hub.leave, self.link, self.link.topics)
        if hasattr(self, "lease"):
            yield partial(self.lease.release, lost=lost)
        if self.seat is not None:  # with the places, those that it was given since as well
            yield partial(node.admission.release, self.seat)

    def _take_each(self, *steps: Step) -> None:
        """Take every step of an end: one that fails keeps back nothing of what the others give back."""
        for step in steps:
            try:
                step()
            except Exception:
                fields = self.link.log_fields if hasattr(self, "link") else {"route": self.route.name}
                logger.exception("a step of a link's end failed", extra=fields)
                metrics.child(metrics.ERRORS_TOTAL, "end_failed", metrics.NO_ROUTE).inc()

    def _record_end(self, close: Close, by: ClosedBy, *, now: datetime) -> None:
        link = self.link
        self.node.update_record(link)
        link.record.end(close, by=by, at=now)
        self.node.recorder.note(link.record)
        self.node.link_events.ended(link.record)

    def _count_end(self, close: Close, by: ClosedBy, *, lived_seconds: float) -> None:
        self._count_live(-1)
        cause = self.link.record.cause or Cause.OTHER  # its record has been told, unless that failed
        metrics.child(metrics.CLOSES_TOTAL, self.route.name, cause.value).inc()
        duration = metrics.child(
            metrics.CONNECTION_DURATION_SECONDS, self.route.name, f"closed_by_{by.value}"
        )
        duration.observe(lived_seconds)
        count_traffic(self.link)
        if self.route.resume is Resume.RECONNECT:
            return  # a member that was lost has been counted then
        if by is ClosedBy.UPSTREAM and close.code == ABNORMAL:
            self._count_error("upstream_lost")
        elif by is ClosedBy.GATEWAY and close == closes.UPSTREAM_FAILED:
            self._count_error("upstream_failed")

    def _count_live(self, change: int) -> None:
        metrics.child(metrics.CONNECTIONS, self.route.name, self.link.record.upstream).inc(change)

    def _count_error(self, kind: str) -> None:
        metrics.child(metrics.ERRORS_TOTAL, kind, self.link.record.upstream).inc()

    def _log_end(self, close: Close, by: ClosedBy, *, lived_seconds: float) -> None:
        fields = {
            "code": close.code,
            "reason": one_line(close.reason),
            "closed_by": by.value,
            "seconds": round(lived_seconds, 3),
            "messages_in": self.link.record.messages_in,
            "messages_out": self.link.record.messages_out,
        }
        logger.info("link closed", extra=self.link.log_fields | fields)
