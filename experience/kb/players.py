"""Players kept in the database, written off the event loop by one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import Error, transaction

from experience.kb.game import Player, Turn
from experience.models import PlayerState
from proxy.api import DatabaseExecutor

T = TypeVar("T")


class PlayersUnavailable(Exception):
    """The database failed or did not answer in time; a move may or may not have been kept."""


class Players:
    """Reads and changes players. One thread runs all of it, so changes are announced in their own order.

    Several services may share a database: a change locks the player's row while the rules are applied to it,
    so that no update is lost. Where too many calls wait already, further ones fail at once.
    """

    def __init__(self, *, deadline_seconds: float = 10.0) -> None:
        self._database = DatabaseExecutor(timeout_seconds=deadline_seconds)

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
        await self._database.close()

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await self._database.run(call)
        except TimeoutError:
            raise PlayersUnavailable("the database did not answer in time") from None
        except Error as error:
            raise PlayersUnavailable(f"the database failed: {type(error).__name__}") from error


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
