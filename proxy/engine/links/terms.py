"""What the frames of one link flow under, and who answers for it: alike on both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy import metrics
from proxy.core.closes import Close, ClosedBy
from proxy.core.farewells import Farewell
from proxy.core.hook_failures import HookFailed
from proxy.core.limits import LinkLimits
from proxy.core.message_gate import MessageGate
from proxy.core.policies import Policy
from proxy.core.records import LinkCounters
from proxy.core.routes import Overflow
from proxy.engine.links.link import Stream
from proxy.engine.pools.rawdial import RawUpstream


class Life(Protocol):
    """Who answers for a link, so that no coroutine has to wait for one that is spliced."""

    def joined(self, stream: Stream) -> None:
        """Of a splice: frames flow, and events may be put among them. Once, unless it has ended by then."""

    def control(self, text: str) -> str:
        """The answer to one in-band control message of the client; must not block or raise."""

    def failed(self, error: HookFailed) -> None:
        """The route's own code failed on the link; must not raise."""

    def ended(self, close: Close, by: ClosedBy) -> None:
        """Of a splice: both sockets are closed; called once, must not raise."""


@dataclass(slots=True, kw_only=True)
class Terms:
    """What the frames of one link flow under.

    `control`: the client's in-band control messages are taken out of its stream. `gate` says how many other
    messages it may send; `policy` is asked about those that it lets in. `farewell` answers what the client is
    told before a close for good. `route` is its name in metrics.
    """

    limits: LinkLimits
    counters: LinkCounters
    life: Life
    control: bool = False
    overflow: Overflow = Overflow.CLOSE
    policy: Policy | None = None
    gate: MessageGate | None = None
    farewell: Farewell | None = None
    route: str = metrics.NO_ROUTE


class SpliceRequest(NamedTuple):
    """What an application asks for in `websocket.accept`.

    It is done once it has accepted, and may return: the link lives on without a task, and its life is told
    when it begins and when it ends. Neither `control` nor a policy goes together with `upstream.extensions`.
    """

    upstream: RawUpstream
    terms: Terms


class End(NamedTuple):
    """How a link ended: the close as received (1005 if empty, 1006 if lost) or sent, and whose it was."""

    close: Close
    by: ClosedBy
