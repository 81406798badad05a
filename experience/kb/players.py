"""Players kept in the database, written off the event loop by one thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from django.db import Error, transaction

from experience.kb.announcer import Change
from experience.kb.game import Player, Turn
from experience.models import PlayerState
from proxy.api import DatabaseExecutor

T = TypeVar("T")

# Moves of one player whose request ids are remembered; each of a user's sockets waits for one at a time.
MOST_REMEMBERED = 20


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

    async def play(
        self, experience: str, user_id: str, move: Callable[[Player], Turn], *, request_id: str = ""
    ) -> Turn:
        """The turn that `move` makes of the player, kept with the `request_id` when it changed something.

        A move that was kept under the same `request_id` is not made again: its turn has the reply of then,
        and the player of now. "" is no request id.

        Raises:
            PlayersUnavailable: see there. Whatever `move` raises comes through, and nothing is kept.
        """
        return await self._run(lambda: play_turn(experience, user_id, move, request_id=request_id))

    async def announced(self, changes: Collection[Change]) -> None:
        """Remember that these were announced. Raises PlayersUnavailable."""
        await self._run(lambda: note_announced(changes))

    async def not_announced(
        self, experiences: Collection[str], *, most: int
    ) -> list[tuple[str, str, Player]]:
        """Experience, user id and player, as it is now, of those whose last change was not.

        Raises:
            PlayersUnavailable: see there.
        """
        return await self._run(lambda: read_not_announced(experiences, most=most))

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


def play_turn(experience: str, user_id: str, move: Callable[[Player], Turn], *, request_id: str = "") -> Turn:
    """Apply `move` to the player under the lock of its row, which a new player gets here."""
    with transaction.atomic():
        row, _ = PlayerState.objects.select_for_update().get_or_create(experience=experience, user_id=user_id)
        replies: list[tuple[str, dict[str, Any]]] = row.replies or []
        for known_id, reply in replies:
            if known_id == request_id:
                return Turn(player=_player(row), changed=True, reply=reply)
        turn = move(_player(row))
        if turn.changed:
            row.inventory, row.quest_stage = list(turn.player.inventory), turn.player.quest_stage
            row.version, row.is_announced = turn.player.version, False
            if request_id:
                row.replies = [*replies, (request_id, turn.reply)][-MOST_REMEMBERED:]
            row.save()
        return turn


def note_announced(changes: Collection[Change]) -> None:
    """Of a player who has changed again since, it is not the last change that was announced."""
    with transaction.atomic():
        for change in changes:
            PlayerState.objects.filter(**change._asdict()).update(is_announced=True)


def read_not_announced(experiences: Collection[str], *, most: int) -> list[tuple[str, str, Player]]:
    rows = PlayerState.objects.filter(is_announced=False, experience__in=experiences).order_by("id")[:most]
    return [(row.experience, row.user_id, _player(row)) for row in rows]


def _player(row: PlayerState) -> Player:
    return Player(inventory=tuple(row.inventory), quest_stage=row.quest_stage, version=row.version)
