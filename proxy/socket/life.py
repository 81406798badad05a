"""The life of an accepted link: what is counted, recorded and logged from its accept to its end."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import ABNORMAL, Close, ClosedBy
from proxy.core.errors import GatewayError
from proxy.core.human import one_line
from proxy.core.principal import Principal
from proxy.core.routes import Resume, Route
from proxy.core.wire.control_messages import encode_error
from proxy.engine.admission.shared_caps import Seat
from proxy.engine.links.link import Link, Stream
from proxy.engine.links.resume import AnyLease
from proxy.node import GatewayNode
from proxy.socket import control

logger = logging.getLogger(__name__)


class Life:
    """One live link and what it holds: its member's lease, its topics, its place in the record.

    It outlives the handshake: on a spliced link it is all of the gateway's own that stays in memory, and the
    splice calls it for control messages and once at the end.
    """

    __slots__ = ("_is_over", "_member", "admitted", "gate", "lease", "link", "node", "route")

    def __init__(self, node: GatewayNode, route: Route, link: Link, lease: AnyLease, admitted: Seat) -> None:
        self.node, self.route, self.link = node, route, link
        self.lease, self.admitted = lease, admitted
        self._is_over = False
        self._member = link.record.upstream
        gates = node.gates(route)
        self.gate = gates.open(link.record.user_id) if gates is not None else None

    def began(self, principal: Principal) -> None:
        """The link is accepted."""
        metrics.child(metrics.CONNECTIONS, self.route.name, self._member).inc()
        self.node.opened(self.link)
        self.node.recorder.note(self.link.record)
        self.extend(principal)

    def joined(self, stream: Stream) -> None:
        """Frames flow."""
        self.link.begin(stream)

    def extend(self, principal: Principal) -> None:
        """Let the link live as long as this principal's token, and a grace."""
        left = control.seconds_left(principal, grace_seconds=self.node.limits.token_grace_seconds)
        if left is not None:
            self.link.expire_in(left)

    def lost_member(self, next_member: str) -> None:
        """An outage is over, and the link leads to `next_member` now: the same one, if no other was found."""
        name = self.route.name
        metrics.child(metrics.ERRORS_TOTAL, "upstream_lost", self._member).inc()
        if self._is_over:
            return
        metrics.child(metrics.CONNECTIONS, name, self._member).dec()
        self._member = self.link.record.upstream = next_member
        metrics.child(metrics.CONNECTIONS, name, self._member).inc()

    def control(self, text: str) -> str:
        """The answer to one of the client's control messages. Never raises: beyond it are link and loop."""
        try:
            return control.answer(self.link, text, verify=self.node.verifier.verify, extend=self.extend)
        except Exception:
            logger.exception("a control message failed", extra=self._log_fields())
            return encode_error(GatewayError.code, GatewayError.message)

    def ended(self, close: Close, by: ClosedBy) -> None:
        """The link is over: `close` as received (1005: empty, 1006: lost) or sent, and by whom. Once."""
        if self._is_over:
            return
        self._is_over = True
        link, now = self.link, datetime.now(UTC)
        link.ended()
        link.update_record(now=now, loop_time=asyncio.get_running_loop().time())
        link.record.end(close, by=by, at=now)
        self.node.recorder.note(link.record)
        self._release(lost=by is ClosedBy.UPSTREAM and close.code == ABNORMAL)
        self.node.closed(link)
        lived_seconds = (now - link.record.opened_at).total_seconds()
        self._count_end(close, by, lived_seconds=lived_seconds)
        self._log_end(close, by, lived_seconds=lived_seconds)

    def dropped(self) -> None:
        """It never began: the client left in the moment in which it could have."""
        self._is_over = True
        self.lease.leg.abort()
        self._release(lost=False)

    def _release(self, *, lost: bool) -> None:
        """Give back all that it holds; `lost`: the member went without a close."""
        link, node = self.link, self.node
        node.hub.leave(link, link.topics)
        self.lease.release(lost=lost)
        node.admission.release(self.admitted)
        gates = node.gates(self.route)
        if gates is not None:
            gates.close(link.record.user_id)

    def given_up(self, close: Close, by: ClosedBy) -> None:
        """The accept came to nothing: nobody else ends the upstream's socket."""
        if self.link.stream is not None:
            self.link.stream.abort()
        self.lease.leg.abort()
        self.ended(close, by)

    def _count_end(self, close: Close, by: ClosedBy, *, lived_seconds: float) -> None:
        name = self.route.name
        metrics.child(metrics.CONNECTIONS, name, self._member).dec()
        duration = metrics.child(metrics.CONNECTION_DURATION_SECONDS, name, f"closed_by_{by.value}")
        duration.observe(lived_seconds)
        metrics.count_traffic(self.link)
        self._count_failure(close, by)

    def _count_failure(self, close: Close, by: ClosedBy) -> None:
        """A member lost or given up in mid-link; one that can be replaced was counted when it was lost."""
        if self.route.resume is Resume.RECONNECT:
            return
        if by is ClosedBy.UPSTREAM and close.code == ABNORMAL:
            metrics.child(metrics.ERRORS_TOTAL, "upstream_lost", self._member).inc()
        elif by is ClosedBy.GATEWAY and close == closes.UPSTREAM_FAILED:
            metrics.child(metrics.ERRORS_TOTAL, "upstream_failed", self._member).inc()

    def _log_end(self, close: Close, by: ClosedBy, *, lived_seconds: float) -> None:
        fields = {
            "code": close.code,
            "reason": one_line(close.reason),
            "closed_by": by.value,
            "seconds": round(lived_seconds, 3),
            "messages_in": self.link.record.messages_in,
            "messages_out": self.link.record.messages_out,
        }
        logger.info("link closed", extra=self._log_fields() | fields)

    def _log_fields(self) -> dict[str, Any]:
        record = self.link.record
        return {
            "route": record.route,
            "connection_id": record.id,
            "request_id": record.request_id,
            "client_address": record.client_address,
            "user_id": record.user_id,
        }
