"""A link: the live object that joins a client's leg and a service's leg."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from proxy import metrics
from proxy.core import closes
from proxy.core.answers import one_text
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.history import MOST_EVENTS, Position
from proxy.core.hook_failures import HookFailed
from proxy.core.records import ConnectionRecord, LinkCounters
from proxy.core.revoking import Shown
from proxy.engine.links.wheel import NOT_DUE, running_wheel

logger = logging.getLogger(__name__)

# Events that may come between the join of the topics and the accept, which is a matter of milliseconds; and
# those that the link has missed.
MAX_WAITING = 1000 + MOST_EVENTS


class Stream(Protocol):
    """Where a link's frames flow: a splice or a relay. No call waits, and none may raise. `gathers` is a
    Listener's."""

    @property
    def gathers(self) -> bool: ...

    @property
    def buffered_bytes(self) -> int:
        """What waits in the outbox."""

    def inject(self, *events: Event) -> None:
        """Put events into the client's stream, between whole messages, through the bounded outbox."""

    def end(self, close: Close, by: ClosedBy) -> bool:
        """Close both legs; False where it has ended already, by whomever."""

    def abort(self) -> None:
        """Drop what of the legs is left; the link ends as it was told to, if it was."""


class Link:
    """One client joined to one upstream. Made before it is accepted, ended once, then forgotten.

    `record` holds what is known of the link; `counters` are updated by the stream as messages cross, and
    `counted` is how far the metrics have got. `phrase` is the route's: how its clients are told of events.
    `trace_id` is that of its handshake, "" without one.
    """

    __slots__ = (
        "__weakref__", "_issued_at", "_jti", "_phrase", "_told_until", "_waiting", "counted", "counters",
        "record", "slot", "stream", "topics", "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        record: ConnectionRecord,
        *,
        topics: tuple[str, ...],
        phrase: Callable[[str], str] | None = None,
        trace_id: str = "",
    ) -> None:
        self.record, self.topics, self._phrase, self.trace_id = record, topics, phrase, trace_id
        self._issued_at, self._jti = Shown()
        self.counters = LinkCounters()
        self.counted = LinkCounters()
        self.stream: Stream | None = None
        self._waiting: list[Event | tuple[Close, ClosedBy]] | None = []
        self._told_until: Position | None = None  # events up to there are not news, as they come in order
        self.slot = NOT_DUE  # the wheel's, for the expiry: a timer a link would weigh half a kilobyte

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def log_fields(self) -> dict[str, object]:
        """What a log line says of the link, to be joined with all others."""
        record = self.record
        fields: dict[str, object] = {
            "route": record.route,
            "connection_id": record.id,
            "request_id": record.request_id,
            "client_address": record.client_address,
            "user_id": record.user_id,
        }
        return fields | {"trace_id": self.trace_id} if self.trace_id else fields

    @property
    def gathers(self) -> bool:
        return self.stream is not None and self.stream.gathers

    @property
    def shown(self) -> Shown:
        """Of the newest token that its client has shown; kept in two slots, as links are many."""
        return Shown(self._issued_at, self._jti)

    @shown.setter
    def shown(self, shown: Shown) -> None:
        self._issued_at, self._jti = shown

    def begin(self, stream: Stream) -> None:
        """Accepted: frames flow from now on; what was published meanwhile comes first."""
        if self._waiting is None:
            return  # it has ended in the very moment of its beginning
        waiting, self._waiting, self.stream = self._waiting, None, stream
        for early in waiting:
            if isinstance(early, Event):
                stream.inject(early)
            else:
                stream.end(*early)

    def catch_up(self, missed: Sequence[Event], *, until: Position | None) -> None:
        """Before it begins: `missed` comes first, and is all that its topics remember up to `until`."""
        told = [phrased for event in missed if (phrased := self._phrased(event)) is not None]
        self._told_until = until
        if self._waiting is not None:
            news = [each for each in self._waiting if not (isinstance(each, Event) and self._is_told(each))]
            self._waiting = [*told, *news]
            if told:
                metrics.child(metrics.EVENTS_TOTAL, "history", "delivered").inc(len(told))

    def _is_told(self, event: Event) -> bool:
        if self._told_until is None or event.position is None:
            return False
        if event.position.is_at_or_before(self._told_until):
            return True
        self._told_until = None
        return False

    def inject(self, *events: Event) -> None:
        """Put events into the client's stream; dropped when the link has ended, or was told of them."""
        if self.stream is not None and self._told_until is None and self._phrase is None:
            self.stream.inject(*events)
            return
        for event in events:
            self._inject(event)

    def _inject(self, event: Event) -> None:
        if self._told_until is not None and self._is_told(event):
            return
        if self._phrase is not None:
            phrased = self._phrased(event)
            if phrased is None:
                return
            event = phrased
        if self.stream is not None:
            self.stream.inject(event)
        elif self._waiting is not None:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting = [(closes.SLOW_CONSUMER, ClosedBy.GATEWAY)]
            self._waiting.append(event)

    def _phrased(self, event: Event) -> Event | None:
        """The event as the route's clients read it; None if its hook has failed, which ends the link."""
        if self._phrase is None:
            return event
        try:
            return replace(event, text=one_text(self._phrase(event.text)))
        except BaseException as error:
            failed, fields = HookFailed.because("phrase", error), self.log_fields | {"hook": "phrase"}
            logger.error("a route's hook failed", extra=fields, exc_info=failed)
            self.end(closes.INTERNAL_ERROR, ClosedBy.GATEWAY)
            return None

    @property
    def may_begin(self) -> bool:
        """Whether it has neither begun, nor been ended before it could."""
        return self._waiting is not None and all(isinstance(each, Event) for each in self._waiting)

    def end(self, close: Close, by: ClosedBy) -> bool:
        """Close both legs; False where it has ended already, though its client may take its time to leave."""
        if self.stream is not None:
            return self.stream.end(close, by)
        if self._waiting is None or not self.may_begin:
            return False
        self._waiting.append((close, by))
        return True

    def abort(self) -> None:
        """End with 1001 what has not been ended yet, and wait for nobody's answer."""
        self.end(closes.GOING_AWAY, ClosedBy.GATEWAY)
        if self.stream is not None:
            self.stream.abort()

    def ended(self) -> None:
        """Nothing reaches the link any more."""
        self.stream = self._waiting = None
        if self.slot != NOT_DUE:
            running_wheel().forget(self)

    def update_record(self, *, now: datetime, loop_time: float) -> int:
        """Bring the record's counters up to date; `now` and `loop_time` are the same moment.

        Answers how many messages were dropped since it was last.
        """
        record, counters = self.record, self.counters
        dropped = counters.messages_dropped - record.messages_dropped
        record.messages_in, record.bytes_in = counters.messages_in, counters.bytes_in
        record.messages_out, record.bytes_out = counters.messages_out, counters.bytes_out
        record.messages_dropped = counters.messages_dropped
        if counters.last_activity:
            record.last_activity_at = now - timedelta(seconds=loop_time - counters.last_activity)
        return dropped

    def expire_in(self, seconds: float) -> None:
        """End with 4010 after `seconds`, in place of any earlier expiry."""
        running_wheel().schedule(self, asyncio.get_running_loop().time() + seconds)

    def look(self, now: float) -> None:
        """The token has expired."""
        self.end(closes.TOKEN_EXPIRED, ClosedBy.GATEWAY)
