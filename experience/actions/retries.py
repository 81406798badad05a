"""Who may ask again, of all those that a service has not answered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

PACE_SECONDS = 0.05
MORE_AT_AN_ANSWER = 2


class Retries:
    """Turns, first come, first served: one each PACE_SECONDS, however many wait, and two for each answer.

    So a service that is away is asked now and then by all of them together, and one that is back is asked by
    as many as it answers. Owns no task; its timer ends when nobody waits.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self) -> None:
        """Wait for one; at once where there was none of late. May be cancelled."""
        if self._timer is None:
            self._pace()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await turn
        finally:
            self._waiting.pop(turn, None)

    def answered(self) -> None:
        """Somebody was."""
        for _ in range(MORE_AT_AN_ANSWER):
            self._let_one()

    def _let_one(self) -> None:
        if self._waiting:
            turn, _ = self._waiting.popitem(last=False)
            if not turn.done():
                turn.set_result(None)

    def _pace(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PACE_SECONDS, self._next)

    def _next(self) -> None:
        self._timer = None
        if self._waiting:
            self._let_one()
            self._pace()
