"""Players kept in the database, written off the event loop by one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections, connections, transaction

from experience.kb.game import Player, Turn
from experience.models import PlayerState

T = TypeVar("T")


class PlayersUnavailable(Exception):
    """The database failed or did not answer in time; a move may or may not have been kept."""


class Players:
    """Reads and changes players. One thread runs all of it, so changes are announced in their own order.

    Several services may share a database: a change locks the player's row while the rules are applied to it,
    so that no update is lost. At most `most_waiting` calls wait; further ones fail at once.
    """

    def __init__(self, *, deadline_seconds: float = 10.0, most_waiting: int = 1_000) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kb-players")
        self._deadline_seconds, self._most_waiting = deadline_seconds, most_waiting
        self._waiting = 0

    async def read(self, experience: str, user_id: str) -> Player:
        """The player, new if never seen.

        Raises:
            PlayersUnavailable: see there.
        """
        return await self._run(lambda: read_player(experience, user_id))

    async def play(self, experience: str, user_id: str, move: Callable[[Player], Turn]) -> Turn:
        """The turn that `move` makes of the player, kept when it changed something.

        Raises:
            PlayersUnavailable: see there. Whatever `move` raises comes through, and nothing is kept.
        """
        return await self._run(lambda: play_turn(experience, user_id, move))

    async def close(self) -> None:
        """Finish what was begun and let go of the database."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown(wait=False)

    async def _run(self, call: Callable[[], T]) -> T:
        if self._waiting >= self._most_waiting:
            raise PlayersUnavailable("too many calls wait for the database")
        future = asyncio.get_running_loop().run_in_executor(self._executor, _with_fresh_connection, call)
        self._waiting += 1
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                # Shielded: a call that has begun is counted until its thread is done with it.
                return await asyncio.shield(future)
        except TimeoutError:
            raise PlayersUnavailable("the database did not answer in time") from None

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # seen: one whose caller gave up must not be reported as forgotten


def _with_fresh_connection(call: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return call()
    except (DatabaseError, InterfaceError) as error:
        raise PlayersUnavailable(f"the database failed: {type(error).__name__}") from error
    finally:
        close_old_connections()


def read_player(experience: str, user_id: str) -> Player:
    row = PlayerState.objects.filter(experience=experience, user_id=user_id).first()
    return Player() if row is None else _player(row)


def play_turn(experience: str, user_id: str, move: Callable[[Player], Turn]) -> Turn:
    """Apply `move` to the player under the lock of its row, which a new player gets here."""
    with transaction.atomic():
        row, _ = PlayerState.objects.select_for_update().get_or_create(experience=experience, user_id=user_id)
        turn = move(_player(row))
        if turn.changed:
            row.inventory, row.quest_stage = list(turn.player.inventory), turn.player.quest_stage
            row.version = turn.player.version
            row.save()
        return turn


def _player(row: PlayerState) -> Player:
    return Player(inventory=tuple(row.inventory), quest_stage=row.quest_stage, version=row.version)
