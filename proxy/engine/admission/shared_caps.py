"""Leases of links in Redis, so that caps and rates hold for all nodes together.

For each address and each user, on the routes that are counted together, there is a sorted set of the links
that hold a seat, oldest first, each under its node's name. A node beats; what a silent one holds is swept by
whoever finds the set full. A handshake costs one round trip, and handshakes that come while one is under way
share the next: one script call does them all.

Of a topic that has room for so many links (a place each), every node has a set of its own, and those of nodes
that beat are added up: there is nothing to sweep, however many links there are.

Redis may be away: `admit` then raises `StoreAway` at once. When it is back, all live seats are written
again, and what it may hold of ended links is taken out: no more than there was when it went. Handshakes do
not wait for that: each call has room for some of both.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from proxy.core.limits import ConnectionLimits
from proxy.core.wording import in_words
from proxy.engine.calls import call_within, wait_at_most

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("shared_caps.lua").read_text()
PREFIX = "gateway:lease:"
MOST_AT_ONCE = 100
# Of which so many are seats that are written again, while there are such: in front of who comes meanwhile.
MOST_KEPT_AT_ONCE = 50
# Who has waited so long for a call is let in, or not, by the node alone.
MOST_WAITING_SECONDS = 2.0
CALL_SECONDS = 1.0
BEAT_SECONDS = 3.0
RELEASE_SECONDS = 0.1
LEASE_SECONDS = 15.0
# A key outlives its last use by this much; live seats are written again three times as often.
KEY_SECONDS = 3600

# Runs the script with these words (see shared_caps.lua) and answers one text for each operation.
RunScript = Callable[[Sequence[str]], Awaitable[Sequence[Any]]]


class StoreAway(Exception):
    """Redis did not answer; limits hold for this node alone."""


@dataclass(slots=True, eq=False)
class Seat:
    """What a link holds. `address` is its address key, "" where there is none; so is `user`. Both are counted
    by the name of `limits`.

    `counts_for_user`: whether it is one of the user's yet; where the oldest gives way, once its link is let
    in. `is_shared`: Redis was asked to hold it, and may. `is_replaced`: a newer one has its place among the
    user's, so that its link must end.
    """

    link_id: str
    address: str
    user: str
    limits: ConnectionLimits
    counts_for_user: bool = True
    is_shared: bool = False
    is_replaced: bool = False

    def words(self, kind: str) -> tuple[str, ...]:
        """What the script is told, to do that with it."""
        limits, rate = self.limits, self.limits.connect_rate
        return (
            *(kind, self.link_id, limits.name, self.address, self.user if self.counts_for_user else ""),
            *(str(limits.per_address), str(limits.per_user), repr(rate.count), repr(rate.seconds * 1000)),
        )


@dataclass(slots=True, eq=False)
class Place:
    """What a link holds among those of a topic, which may have so many. `is_shared` as a seat's."""

    link_id: str
    topic: str
    most: int
    is_shared: bool = False
    is_replaced: ClassVar[bool] = False

    def words(self, kind: str) -> tuple[str, ...]:
        return f"{kind}_place", self.link_id, "", "", self.topic, "", str(self.most), "", ""


@dataclass(slots=True)
class _Operation:
    kind: str
    seat: Seat | Place
    answer: asyncio.Future[str] | None = None
    give_up_at: float = 0.0  # by the loop's clock, where somebody waits for the answer

    def words(self) -> tuple[str, ...]:
        return self.seat.words(self.kind)


_NOBODY = Seat("", "", "", ConnectionLimits())


class SharedCaps:
    """One node's view of the seats in Redis. `run()` in the background; before it runs, Redis is away."""

    def __init__(
        self,
        run_script: RunScript,
        *,
        node_id: str,
        live: Callable[[], Sequence[Seat | Place]],
        replaced: Callable[[str, str], object],
    ) -> None:
        """`live` answers what this node's links hold; `replaced` is told the node and the id of each link
        that gave way to a newer one, and must now be ended, whoever still waits for the newer one."""
        self._run_script, self._live, self._replaced = run_script, live, replaced
        self._head = (PREFIX, node_id, str(int(LEASE_SECONDS * 1000)), str(KEY_SECONDS))
        self._waiting: deque[_Operation] = deque()
        self._to_keep: OrderedDict[Seat | Place, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._wake_timer: asyncio.TimerHandle | None = None
        self._written_at = float("-inf")
        self.connected = False

    async def admit(self, seat: Seat | Place) -> str:
        """Ask for a seat, or a place: "" if granted; `rate:MS`, `address`, `user` or `full` if not.

        Raises StoreAway.
        """
        if not self.connected:
            raise StoreAway
        try:
            return await self._ask("admit", seat)
        except asyncio.CancelledError:
            self.release(seat)  # it may have been granted, or will be: this comes after it
            raise

    def come(self, seat: Seat, *, alone: Callable[[Seat], object]) -> None:
        """Count a link among its user's, of whom the oldest gives way; `alone`: without Redis."""
        if not self.connected:
            alone(seat)
            return
        self._ask("come", seat).add_done_callback(lambda answer: answer.exception() and alone(seat))

    def _ask(self, kind: str, seat: Seat | Place) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        self._waiting.append(_Operation(kind, seat, answer, loop.time() + MOST_WAITING_SECONDS))
        self._wake.set()
        return answer

    def keep(self, seats: Iterable[Seat | Place]) -> None:
        """Count links that were let in before; while Redis is away, once it is back."""
        if self.connected:
            for seat in seats:
                self._keep(seat)
            self._wake.set()

    def _keep(self, seat: Seat | Place) -> None:
        seat.is_shared = True
        self._to_keep[seat] = None

    def release(self, seat: Seat | Place) -> None:
        """Give it back, in a moment or when Redis is back, together with what else waits by then."""
        if not seat.is_shared:
            return  # Redis never saw it
        self._to_keep.pop(seat, None)
        self._waiting.append(_Operation("release", seat))
        if self._wake_timer is None:
            self._wake_timer = asyncio.get_running_loop().call_later(RELEASE_SECONDS, self._wake_now)

    def _wake_now(self) -> None:
        self._wake_timer = None
        self._wake.set()

    async def run(self) -> None:
        """Beat, and carry out what waits, until cancelled; then nobody waits any more."""
        try:
            await self._run()
        finally:
            self.connected = False
            self._give_up()

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        beat_at = loop.time()
        while True:
            if loop.time() >= beat_at:
                await self._beat()
                beat_at = loop.time() + BEAT_SECONDS
            if self.connected and (self._waiting or self._to_keep):
                await self._carry_out()
                continue
            self._wake.clear()
            await wait_at_most(max(0.0, beat_at - loop.time()), self._wake.wait())

    async def leave(self) -> None:
        """Carry out what waits, and let others sweep the rest; gives up at the first call that fails.

        To be called when `run` has been cancelled: what it was about to release waits again.
        """
        try:
            while batch := self._take_batch():
                await self._call(batch)
            await self._call([_Operation("leave", _NOBODY)])
        except StoreAway:
            pass

    async def _beat(self) -> None:
        try:
            (answer,) = await self._call([_Operation("beat", _NOBODY)])
        except StoreAway:
            self._give_up()  # who came meanwhile must not wait for its return
            return
        now = asyncio.get_running_loop().time()
        if not self.connected or answer == "lost" or now - self._written_at > KEY_SECONDS / 3:
            self._keep_all()
            self._written_at = now
        if not self.connected:
            logger.info("Redis counts links: limits hold for all nodes together")
        self.connected = True

    def _keep_all(self) -> None:
        """Write all live seats again, some with each call that there is."""
        for seat in self._live():
            self._keep(seat)

    async def _carry_out(self) -> None:
        """Take what waits, at most a hundred operations, and do it in one call."""
        batch = self._take_batch()
        if not batch:
            return
        settled = 0
        try:
            for answer in await self._call(batch):
                self._settle(batch[settled], answer)
                settled += 1
        except BaseException as error:  # whoever is not answered waits on, or is given up
            self._waiting.extendleft(reversed(batch[settled:]))
            if not isinstance(error, StoreAway):
                raise
            self._give_up()

    def _settle(self, operation: _Operation, answer: str) -> None:
        word, _, replaced = answer.partition(":")
        if word == "replaces":
            for each in replaced.split():
                node_id, _, link_id = each.partition(":")
                self._replaced(node_id, link_id)
            answer = ""
        if operation.answer is not None and not operation.answer.done():
            operation.answer.set_result(answer)

    def _take_batch(self) -> list[_Operation]:
        """What waits, oldest first, at most a hundred; without admissions whose client has left.

        Seats that are written again come first, but for half of the room: in one call who comes is counted
        against them.
        """
        batch = list(self._take_kept())
        now = asyncio.get_running_loop().time()
        while self._waiting and len(batch) < MOST_AT_ONCE:
            operation = self._waiting.popleft()
            if operation.answer is None:
                batch.append(operation)
            elif not operation.answer.done():
                if operation.give_up_at < now:
                    operation.answer.set_exception(StoreAway())
                    continue
                operation.seat.is_shared = True
                batch.append(operation)
        return batch

    def _take_kept(self) -> Iterator[_Operation]:
        most = MOST_KEPT_AT_ONCE if self._waiting else MOST_AT_ONCE
        while self._to_keep and most > 0:
            seat, _ = self._to_keep.popitem(last=False)
            if not seat.is_replaced:
                most -= 1
                yield _Operation("keep", seat)

    def _give_up(self) -> None:
        """Nobody waits for Redis while it is away. Releases are kept until then; seats are written again."""
        self._to_keep.clear()
        kept: deque[_Operation] = deque()
        for operation in self._waiting:
            if operation.kind == "release":
                kept.append(operation)
            elif operation.answer is not None and not operation.answer.done():
                operation.answer.set_exception(StoreAway())
        self._waiting = kept

    async def _call(self, batch: Sequence[_Operation]) -> list[str]:
        words = [*self._head, *(word for operation in batch for word in operation.words())]
        try:
            answers = await call_within(CALL_SECONDS, self._run_script(words))
            texts = [answer.decode() if isinstance(answer, bytes) else str(answer) for answer in answers]
            if len(texts) != len(batch):
                raise ValueError(f"{len(texts)} answers to {len(batch)} operations")
        except Exception as error:
            if self.connected:
                logger.warning(
                    "Redis is away: limits hold for this node alone", extra={"why": in_words(error)}
                )
            self.connected = False
            raise StoreAway from error
        return texts
