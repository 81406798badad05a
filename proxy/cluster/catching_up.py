"""A client that comes back hears what it missed of topics with a history, then what is published then."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from proxy import metrics
from proxy.cluster.histories import Asked
from proxy.cluster.questions import SEND_SECONDS, LayerAway
from proxy.cluster.signals import event_of
from proxy.core.events import Event
from proxy.core.history import Found, History, Outcome, Position
from proxy.core.topics import group_name
from proxy.core.wire.control_messages import encode
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link

log = logging.getLogger(__name__)
# Who comes back may have no more of its outbox filled than this share, since live events come, too.
_SHARE = 0.5
# While the channel layer is known to be away, who comes is not kept waiting with all that it holds.
_AWAY_SECONDS = 0.2


class RememberingLayer(Protocol):
    """What both channel layers of the gateway have beside Channels' own specification."""

    async def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found: ...
    def deserialize(self, message: bytes) -> Mapping[str, Any]: ...


class CatchingUp:
    """What a node does for links that come back. They have joined their topics, and are not accepted yet."""

    def __init__(self, layer: RememberingLayer, hub: Hub) -> None:
        self._layer, self._hub = layer, hub
        self._is_away = False
        self._has_skipped = False

    async def catch_up(
        self, link: Link, histories: Mapping[str, History], *, since: str, outbox_bytes: int
    ) -> None:
        """Have `link` told what it missed since that of its topics of those kinds, or that it cannot be.

        What is published meanwhile waits in the link; it hears nothing twice.
        """
        asked = [
            Asked(group_name(topic), histories[kind])
            for topic in link.topics
            if (kind := topic.partition(":")[0]) in histories
        ]
        if not asked:
            return
        position = Position.parse(since)
        found = await self._find(link.topics, asked, since=position, most_bytes=round(outbox_bytes * _SHARE))
        outcome = _outcome(found, since)
        missed = [] if found is None or outcome is not Outcome.RECOVERED else self._events(found)
        now = None if found is None else found.now
        told = _told(outcome, missed, position if missed or found is None else now)
        link.catch_up([told, *missed], until=now)
        metrics.child(metrics.RECOVERIES_TOTAL, link.record.route, outcome).inc()

    async def _find(
        self, topics: Sequence[str], asked: Sequence[Asked], *, since: Position | None, most_bytes: int
    ) -> Found | None:
        """None: the store is away, or this node is deaf; it tells its links when it is not any more."""
        is_away = self._hub.has_connected and not self._hub.connected
        if not await self._hub.hears_soon(topics, within_seconds=_AWAY_SECONDS if is_away else SEND_SECONDS):
            return None
        try:
            found = await self._layer.recover(asked, since=since, most_bytes=most_bytes)
        except LayerAway as error:
            if not self._is_away:
                log.warning("clients cannot be told what they missed", extra={"why": repr(error)})
            self._is_away = True
            return None
        self._is_away = False
        return found if self._hub.hears(topics) else None

    def _events(self, found: Found) -> list[Event]:
        read = [self._event(entry.message) for entry in found.entries()]
        events = [event for event in read if event is not None]
        if len(events) < len(read):
            metrics.child(metrics.EVENTS_TOTAL, "history", "skipped").inc(len(read) - len(events))
            if not self._has_skipped:
                log.warning("what is no event is in a history, and is skipped", extra={"now": str(found.now)})
            self._has_skipped = True
        return events

    def _event(self, message: bytes) -> Event | None:
        """None for what is none: anybody who reaches the Redis may have written it."""
        try:
            signal = self._layer.deserialize(message)
        except ValueError:  # as which msgpack's errors and json's count
            return None
        if not isinstance(signal, Mapping) or not isinstance(signal.get("text"), str):
            return None
        return event_of(signal, source="history")


def _outcome(found: Found | None, since: str) -> Outcome:
    position = Position.parse(since)
    if found is None:
        return Outcome.UNAVAILABLE
    if position is None:
        return Outcome.UNKNOWN if since else Outcome.NEW
    return found.outcome(position)


def _told(outcome: Outcome, missed: Sequence[Event], since: Position | None) -> Event:
    """What clients read of it: `since` is what they remember until the next event."""
    recovered = outcome is Outcome.RECOVERED
    why = {} if recovered else {"reason": outcome.value}
    position = {"since": "" if since is None else str(since)}  # the last field, as it is an event's
    told = encode(type="gateway.recovered", recovered=recovered, events=len(missed), **why, **position)
    return Event(told, source="answer")
