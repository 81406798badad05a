"""Events on their way to links of this process. A link that gathers gets all that one turn of the loop has
for it together, so that they share a write; an event for many is given to a few of them a turn.

Nine thousand links take a tenth of a second, in which nothing else would run. Each link hears its events in
their order: one that some wait for waits behind them, and gets all of them at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from proxy.core.events import Event

logger = logging.getLogger(__name__)

# An event for so many links goes out before those for more.
FEW = 64
TURN_SECONDS = 0.0015
# So many deliveries may wait; what comes then makes room first, in its own turn.
MOST_WAITING = 100_000
# What a link gets in one turn is written together up to this; a write costs as much as ten events.
BATCH_BYTES = 64 * 1024


class Listener(Protocol):
    """What topics are heard by: a link. `gathers`: what it gets together shares a write."""

    @property
    def gathers(self) -> bool: ...

    def inject(self, *events: Event) -> None:
        """Must not block and must not raise. Several are small together, so that they can share a write."""


class Deliveries:
    """What waits for each link, and the turns in which they get it."""

    def __init__(self) -> None:
        # Of each link that waits, all its events, in one place: the first, if one of them is for few.
        self._first: OrderedDict[Listener, list[Event]] = OrderedDict()
        self._then: OrderedDict[Listener, list[Event]] = OrderedDict()
        self._count = 0
        self._turn: asyncio.Handle | None = None

    def give(self, event: Event, links: Collection[Listener]) -> None:
        """Have each of `links` get the event, behind what waits for it: when this turn is over.

        A link that does not gather has an event for few at once, in its place among what its own leg says.
        """
        if len(links) > FEW:
            for link in links:
                (self._first.get(link) or self._then.setdefault(link, [])).append(event)
            self._count += len(links)
        else:
            for link in links:
                self._give_soon(event, link)
        while self._count > MOST_WAITING:
            self._give_next()
        if self._count and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _give_soon(self, event: Event, link: Listener) -> None:
        mine = self._first.get(link)
        if mine is None:
            mine = self._then.pop(link, None)
            if mine is None and not link.gathers:
                self._inject(link, (event,))
                return
            mine = self._first[link] = mine or []
        mine.append(event)
        self._count += 1

    def _take_turn(self) -> None:
        loop, self._turn = asyncio.get_running_loop(), None
        turn_ends = loop.time() + TURN_SECONDS
        while self._count:
            self._give_next()
            if loop.time() > turn_ends:
                break
        if self._count and self._turn is None:
            self._turn = loop.call_soon(self._take_turn)

    def _give_next(self) -> None:
        """Give the link that waits longest all that waits for it."""
        link, events = (self._first or self._then).popitem(last=False)
        self._give_all(link, events)

    def hurry(self, link: Listener) -> None:
        """Give it now what waits for it: it is told something else next, which is to come behind."""
        events = self._first.pop(link, None) or self._then.pop(link, None)
        if events is not None:
            self._give_all(link, events)

    def _give_all(self, link: Listener, events: Sequence[Event]) -> None:
        self._count -= len(events)
        for batch in _batches(events):
            self._inject(link, batch)

    @staticmethod
    def _inject(link: Listener, events: Sequence[Event]) -> None:
        try:
            link.inject(*events)
        except Exception:
            logger.exception("events could not be given to a link")


def _batches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    if len(events) == 1:
        yield events
        return
    batch, size = [events[0]], len(events[0].frame)
    for event in events[1:]:
        size += len(event.frame)
        if size > BATCH_BYTES:
            yield batch
            batch, size = [], len(event.frame)
        batch.append(event)
    yield batch
