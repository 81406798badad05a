"""Sends what waits for other services: one process at a time, at least once, in order a key.

A row is deleted once the broker has said that it took the event. Whoever is killed in between leaves the rest
to the process whose turn is next; it sends again what was not deleted, from the first one on, so that of two
that send the same each begins with what the other has sent before: an event may come twice, and never before
one of its key that was written earlier.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn

from django.db import Error

from proxy.core import backoff
from proxy.core.outgoing import HeldKeys, Row
from proxy.engine.calls import wait_at_most
from proxy.outgoing.batch import Batch
from proxy.outgoing.destination import Destination, OneRefused, Session
from proxy.outgoing.writing import woken
from proxy.tables import outgoing_events, turns
from proxy.work import RunInDatabase

logger = logging.getLogger(__name__)

TURN = "outgoing events"
TURN_SECONDS = 6.0
KEEP_SECONDS = 2.0
# Of its turn, that nobody counts on who was frozen just now.
MARGIN_SECONDS = 1.0
LOOK_SECONDS = 0.5
AT_ONCE = 100
# A broker that confirms nothing for so long is taken for gone; what is under way is sent again.
SILENCE_SECONDS = 30.0
# With nothing to send for so long, the connection is closed and the turn given up.
IDLE_SECONDS = 30.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 10.0
MOST_HELD = 500
TELL_SECONDS = 300.0
_SHOWN_CHARS = 400
_END_SECONDS = 0.5


class TurnLost(Exception):
    """It is another process's turn, or nobody can say."""


class Sender:
    """Sends to one destination, when it is this process's turn."""

    def __init__(self, destination: Destination, run_in_database: RunInDatabase) -> None:
        self._destination, self._run_in_database = destination, run_in_database
        self._holder = uuid.uuid4().hex
        self._turn_until = 0.0
        self._wake = asyncio.Event()
        self._held = HeldKeys(
            first_seconds=FIRST_WAIT_SECONDS, longest_seconds=LONGEST_WAIT_SECONDS, most=MOST_HELD
        )
        # What the rows do not say yet; a batch that fails leaves it to the next one.
        self._sent: list[int] = []
        self._refused: dict[int, str] = {}
        # Of which one ended the session: they are sent one at a time, until it is found.
        self._suspects: set[int] = set()
        self._waits = _waits()
        self._complaint = ""
        self._told_until: dict[str, float] = {}

    async def run(self) -> NoReturn:
        """Until cancelled; then it is another's turn at once."""
        loop = asyncio.get_running_loop()
        try:
            with woken(partial(loop.call_soon_threadsafe, self._wake.set)):
                while True:
                    await self._look()
                    await self._rest(LOOK_SECONDS)
        finally:
            await self._end_turn()

    async def _look(self) -> None:
        """Send all that waits if it is our turn, until nothing comes any more. Never fails."""
        try:
            await self._note()
            if await self._run_in_database(outgoing_events.any_waits) and await self._take_turn():
                async with self._destination.session() as session:
                    await self._use(session)
        except Exception as error:  # noqa: BLE001  a broker raises whatever its client library does
            self._complain(_first(error))
            await self._end_turn()  # another process may reach what we do not
            await asyncio.sleep(backoff.jittered(next(self._waits), fraction=0.5, random=random.random()))  # noqa: S311

    async def _use(self, session: Session) -> None:
        logger.info("events for other services are sent", extra={"to": self._destination.name})
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(session.last(), name="outgoing:last"),
                tasks.create_task(self._keep_turn(), name="outgoing:turn"),
            ]
            await self._send_until_idle(session)
            for task in beside:
                task.cancel()
        await self._end_turn()

    async def _send_until_idle(self, session: Session) -> None:
        clock = asyncio.get_running_loop().time
        busy_at = clock()
        while clock() - busy_at < IDLE_SECONDS:
            self._wake.clear()
            rows = await self._load()
            if not rows:
                await wait_at_most(LOOK_SECONDS / 2, self._wake.wait())
                continue
            await self._send_batch(session, rows)
            busy_at = clock()

    async def _load(self) -> list[Row]:
        """Raises what the database does, and TurnLost."""
        await self._note()
        held = self._held.at(asyncio.get_running_loop().time())
        rows = await self._run_in_database(outgoing_events.load, held=held)
        if not self._may_send():
            raise TurnLost
        suspects = [row for row in rows if row.id in self._suspects]
        if not suspects:
            self._suspects.clear()
        return suspects or rows

    async def _send_batch(self, session: Session, rows: Sequence[Row]) -> None:
        batch = Batch(session, self._destination.name, may_send=self._may_send)
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_watch(batch), name="outgoing:silence")
                await batch.send(rows, at_once=1 if self._suspects else AT_ONCE)
                watching.cancel()
        except* OneRefused:
            self._suspects = set(batch.under_way)
            raise
        finally:
            self._take_note(batch)
        if not batch.sent and (batch.refused or self._held.is_full):  # maybe it takes nothing at all
            await asyncio.sleep(next(self._waits))

    def _take_note(self, batch: Batch) -> None:
        self._sent += batch.sent
        self._refused |= batch.refused
        if batch.sent:
            self._waits = _waits()
            self._well_again()
        now = asyncio.get_running_loop().time()
        for key in batch.keys_sent - batch.held.keys():
            self._held.let_go(key)
        for key, why in batch.held.items():
            self._held.hold(key, now=now)
            self._tell("a broker does not take some events for other services now; they wait", why, now)
        if batch.unrouted is not None:
            self._tell(
                "nobody has asked for some events for other services; they are not kept",
                f"no queue for {batch.unrouted.subject}",
                now,
            )

    def _tell(self, what: str, why: str, now: float) -> None:
        """Warn of `what`, every few minutes."""
        if now >= self._told_until.get(what, 0.0):
            logger.warning(what, extra={"to": self._destination.name, "why": why[:_SHOWN_CHARS]})
            self._told_until[what] = now + TELL_SECONDS

    def _complain(self, error: BaseException) -> None:
        """Once an outage, unless it fails of something else."""
        complaint = repr(error)[:_SHOWN_CHARS]
        if isinstance(error, TurnLost) or complaint == self._complaint:
            return
        self._complaint = complaint
        told = {"to": self._destination.name, "why": complaint}
        logger.warning("events for other services wait", extra=told)

    def _well_again(self) -> None:
        if self._complaint:
            logger.info("events for other services are sent again", extra={"to": self._destination.name})
        self._complaint = ""

    def _may_send(self) -> bool:
        """Whether it is our turn for sure. Asked before each event: this process may have been frozen."""
        return asyncio.get_running_loop().time() < self._turn_until

    async def _take_turn(self) -> bool:
        began = asyncio.get_running_loop().time()
        if not await self._run_in_database(turns.take, TURN, self._holder, TURN_SECONDS):
            self._turn_until = 0.0
            return False
        self._turn_until = began + TURN_SECONDS - MARGIN_SECONDS
        return True

    async def _keep_turn(self) -> NoReturn:
        """Raises TurnLost once it is over, since the database is away, say."""
        while self._may_send():
            await asyncio.sleep(KEEP_SECONDS)
            try:
                if not await self._take_turn():
                    break
            except (Error, TimeoutError) as error:
                self._complain(error)
        raise TurnLost

    async def _note(self) -> None:
        """Have the rows say what they do not say yet. Raises what the database does."""
        if self._sent or self._refused:
            await self._run_in_database(outgoing_events.note, self._sent, self._refused)
            self._sent, self._refused = [], {}

    async def _end_turn(self) -> None:
        if not self._turn_until:
            return
        self._turn_until = 0.0
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._note()
                await self._run_in_database(turns.give_up, TURN, self._holder)
        except (Error, TimeoutError) as error:  # it ends by itself, and some events may go out twice
            logger.debug("a turn was not ended", extra={"why": repr(error)})

    async def _rest(self, seconds: float) -> None:
        await wait_at_most(seconds, self._wake.wait())
        self._wake.clear()


async def _watch(batch: Batch) -> NoReturn:
    """Raises TimeoutError once a broker has been silent for too long about what is under way."""
    clock = asyncio.get_running_loop().time
    while (left := batch.progress_at + SILENCE_SECONDS - clock()) > 0:  # noqa: ASYNC110  of what is not said
        await asyncio.sleep(left)
    raise TimeoutError(f"the broker has confirmed nothing for {SILENCE_SECONDS:g} s")


def _waits() -> Iterator[float]:
    return backoff.delays(FIRST_WAIT_SECONDS, longest_seconds=LONGEST_WAIT_SECONDS)


def _first(error: BaseException) -> BaseException:
    """What a task group failed of."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
