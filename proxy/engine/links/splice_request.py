"""What an application asks of a splice, and what it is told of its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proxy import metrics
from proxy.core.closes import Close, ClosedBy
from proxy.core.farewells import Farewell
from proxy.core.limits import LinkLimits
from proxy.core.message_gate import MessageGate
from proxy.core.records import LinkCounters
from proxy.core.routes import Overflow
from proxy.core.verdicts import Inspect
from proxy.engine.links.link import Stream
from proxy.engine.pools.rawdial import RawUpstream


class Life(Protocol):
    """Who answers for a spliced link, so that no coroutine has to wait for it."""

    def joined(self, stream: Stream) -> None:
        """Frames flow, and events may be put among them. Once, unless the link has ended by then."""

    def control(self, text: str) -> str:
        """The answer to one in-band control message of the client; must not block or raise."""

    def ended(self, close: Close, by: ClosedBy) -> None:
        """Both sockets are closed; called once, must not raise."""


@dataclass(slots=True, kw_only=True)
class SpliceRequest:
    """What an application asks for in `websocket.accept`.

    The application is done once it has accepted, and may return: the link lives on without a task, and its
    `life` is told when it begins, of control messages, and of the end.

    `control`: the client's in-band control messages are taken out of its stream. `inspect`
    is asked about each whole message; without `inspect_out`, about the client's only. Neither `control` nor
    `inspect` goes together with `upstream.extensions`. `gate` says how fast the client's messages are read.
    `farewell` answers what the client is told before a close for good. `route` is its name in metrics.
    """

    upstream: RawUpstream
    limits: LinkLimits
    counters: LinkCounters
    life: Life
    control: bool = False
    overflow: Overflow = Overflow.CLOSE
    inspect: Inspect | None = None
    inspect_out: bool = True
    gate: MessageGate | None = None
    farewell: Farewell | None = None
    route: str = metrics.NO_ROUTE

    @property
    def inspects_out(self) -> bool:
        return self.inspect is not None and self.inspect_out


class End(NamedTuple):
    """How a link ended: the close as received (1005 if empty, 1006 if lost) or sent, and whose it was."""

    close: Close
    by: ClosedBy
