"""Events on their way to links of this process: one for many is given to a few of them a turn of the loop.

Nine thousand links take a tenth of a second, in which nothing else would run. Each link hears its events in
their order: one that some wait for waits behind them, and gets all of them at once, in one turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol

from proxy.core.events import Event

logger = logging.getLogger(__name__)

# An event for so many links goes out at once, within half a millisecond.
AT_ONCE = 64
TURN_SECONDS = 0.0015
# So many deliveries may wait; what comes then makes room first, in its own turn.
MOST_WAITING = 100_000


class Listener(Protocol):
    """What topics are heard by: a link."""

    def inject(self, event: Event) -> None:
        """Must not block and must not raise."""


class Deliveries:
    """What waits for each link, and the turns in which they get it."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Listener, list[Event]] = OrderedDict()
        self._count = 0
        self._turn: asyncio.Handle | None = None

    def give(self, event: Event, links: Sequence[Listener]) -> None:
        """Have each of `links` get the event, behind what waits for it."""
        if len(links) > AT_ONCE:
            self._put(event, links)
            return
        for link in links:
            mine = self._waiting.get(link)
            if mine is None:
                link.inject(event)
            else:
                mine.append(event)
                self._count += 1

    def _put(self, event: Event, links: Iterable[Listener]) -> None:
        for link in links:
            self._waiting.setdefault(link, []).append(event)
            self._count += 1
        while self._count > MOST_WAITING:
            self._give_next()
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        loop, self._turn = asyncio.get_running_loop(), None
        turn_ends = loop.time() + TURN_SECONDS
        while self._waiting:
            self._give_next()
            if loop.time() > turn_ends:
                break
        if self._waiting:
            self._turn = loop.call_soon(self._take_turn)

    def _give_next(self) -> None:
        """Give the link that waits longest all that waits for it."""
        link, events = self._waiting.popitem(last=False)
        self._give_all(link, events)

    def hurry(self, link: Listener) -> None:
        """Give it now what waits for it: it is told something else next, which is to come behind."""
        events = self._waiting.pop(link, None)
        if events is not None:
            self._give_all(link, events)

    def _give_all(self, link: Listener, events: Sequence[Event]) -> None:
        self._count -= len(events)
        for event in events:
            try:
                link.inject(event)
            except Exception:
                logger.exception("an event could not be given to a link")
