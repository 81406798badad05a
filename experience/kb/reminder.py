"""That each change which was kept is announced, whatever becomes of the broker or the service meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NoReturn

from experience.kb import protocol
from experience.kb.announcer import Announcer, Change
from experience.kb.answers import now_milliseconds
from experience.kb.players import Players, PlayersUnavailable
from experience.kb.world import WORLDS
from proxy.api import user_topic

NOTE_SECONDS = 1.0
AGAIN_SECONDS = 5.0
MOST_AT_ONCE = 100


class Reminder:
    """Notes in the players' rows what was announced, and has the rest announced again: at the start, what a
    service before this one left behind, and what was dropped, once one of those goes through.

    An event holds the whole state, so that of several changes the last is enough; it may come twice.
    """

    def __init__(self, players: Players, announcer: Announcer) -> None:
        self._players, self._announcer = players, announcer
        self._announced = dict[tuple[str, str], int]()
        self._dropped, self._is_behind = 0, True

    async def run(self) -> NoReturn:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        again_at = clock()
        while True:
            with suppress(PlayersUnavailable):  # who plays is told so; here it is the next time's
                await self.note()
                if clock() >= again_at:
                    again_at = clock() + AGAIN_SECONDS
                    await self._announce_again()
            await asyncio.sleep(NOTE_SECONDS)

    async def note(self) -> None:
        """Write down what has been announced since. Raises PlayersUnavailable."""
        for change in self._announcer.take_announced():
            self._announced[change.experience, change.user_id] = change.version
        if self._announced:
            changes = [Change(*who, version) for who, version in self._announced.items()]
            await self._players.announced(changes)
            self._announced.clear()

    async def _announce_again(self) -> None:
        was_dropped = self._announcer.dropped != self._dropped
        self._dropped = self._announcer.dropped
        self._is_behind = self._is_behind or was_dropped
        if not self._is_behind or not self._announcer.is_idle:
            return
        kept = await self._players.not_announced(WORLDS, most=1 if was_dropped else MOST_AT_ONCE)
        for experience, user_id, player in kept:
            event = protocol.state_changed(WORLDS[experience], player, timestamp=now_milliseconds())
            change = Change(experience, user_id, player.version)
            self._announcer.announce(user_topic(user_id), event, change)
        self._is_behind = was_dropped or len(kept) == MOST_AT_ONCE
