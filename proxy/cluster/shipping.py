"""Events that a transaction wrote are shipped once it has committed: by one node at a time, in their order.

At least once: a row is deleted after Redis has taken its event. Whoever is killed in between leaves the rest
to the node whose turn is next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn

from channels.layers import get_channel_layer
from django.db import Error, router, transaction

from proxy import metrics
from proxy.cluster import signals
from proxy.cluster.shipments import TURN_SECONDS, Shipment
from proxy.cluster.signals import Signal
from proxy.cluster.store import Store
from proxy.core.topics import group_name, node_topic
from proxy.engine.deliveries import Listener
from proxy.engine.hub import Hub
from proxy.models import WaitingEvent
from proxy.registry import history_of
from proxy.tables import waiting_events
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.looking import look_forever
from proxy.tables.waiting_events import Row

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
# After Redis was away, other nodes may be deaf for so long until they notice (proxy/engine/hub.py).
SETTLE_SECONDS = 8.0
MOST_ROWS, MOST_BYTES = 200, 4 << 20
_TEND_SECONDS = 10.0
LATE_SECONDS = 30.0
_END_SECONDS = 0.5
_SHIPPERS = node_topic("shippers")


def put(topic: str, text: str) -> None:
    """Write an event in the transaction that is open, if one is, and have it shipped once that has committed.

    Raises django.db.Error.
    """
    waiting_events.add(topic, text)
    using = router.db_for_write(WaitingEvent)
    after_commit = transaction.get_connection(using).run_on_commit
    if not after_commit or after_commit[-1][1] is not _nudge:  # one is enough for all of a transaction
        transaction.on_commit(_nudge, using=using)


def _nudge() -> None:
    """Tell whoever ships that there is something. Waits a moment at most, and never raises."""
    get_channel_layer().store.nudge_sync(group_name(_SHIPPERS), {"type": signals.WAITING, "topic": _SHIPPERS})


class Shipper:
    """Ships what waits, when it is this node's turn: at each nudge, and twice a second."""

    def __init__(
        self,
        store: Store,
        database: DatabaseExecutor,
        *,
        node_id: str,
        look_seconds: float = LOOK_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._store, self._database, self._node_id = store, database, node_id
        self._look_seconds, self._settle_seconds = look_seconds, settle_seconds
        self._hub: Hub | None = None
        self._wake = asyncio.Event()
        self._turn_until = 0.0
        self._not_before = 0.0
        # Of the call before; not in the table any more when the next one begins.
        self._shipped: Sequence[int] = ()

    def listen(self, hub: Hub) -> None:
        """Hear nudges, and of gaps, after which the nodes are given time to hear again."""
        self._hub = hub
        hub.listen(_SHIPPERS)
        hub.receive(signals.WAITING, self._nudged)
        hub.on_gap(self._settle)

    async def run(self) -> None:
        """Ship until cancelled; then it is another's turn at once."""
        try:
            await look_forever(
                self.look, seconds=self._look_seconds, fails="waiting events are not shipped", wake=self._wake
            )
        finally:
            await self._end_turn()

    async def look(self) -> None:
        """Ship all that waits, if it is our turn. Raises what the database does, and LayerAway."""
        if not self._may_ship():
            return
        if not self._has_turn and await self._store.take_turn(self._node_id):
            self._keep_turn()
        while self._has_turn and await self._ship_some():
            pass

    @property
    def _has_turn(self) -> bool:
        """Whether it need not be taken. If it has gone to another all the same, Redis ships nothing."""
        return asyncio.get_running_loop().time() < self._turn_until

    def _keep_turn(self) -> None:
        self._turn_until = asyncio.get_running_loop().time() + TURN_SECONDS / 2

    def _may_ship(self) -> bool:
        is_settled = asyncio.get_running_loop().time() >= self._not_before
        return is_settled and self._hub is not None and self._hub.connected

    async def _ship_some(self) -> bool:
        """The first rows; False when none is left, another's turn has come, or nodes are deaf meanwhile."""
        try:
            rows = await self._database.run(
                waiting_events.forget_and_load, self._shipped, most_rows=MOST_ROWS, most_bytes=MOST_BYTES
            )
        except (Error, TimeoutError):  # another node's database may be well
            await self._end_turn()
            raise
        self._shipped = ()
        if not rows or not self._may_ship():
            return False
        if not await self._store.ship([_shipment(row) for row in rows], who=self._node_id):
            self._turn_until = 0.0
            return False
        self._keep_turn()
        self._shipped = [row.id for row in rows]
        return True

    def _nudged(self, _: Signal, __: Sequence[Listener]) -> None:
        if self._has_turn:
            self._wake.set()

    def _settle(self) -> None:
        self._not_before = asyncio.get_running_loop().time() + self._settle_seconds

    async def _end_turn(self) -> None:
        self._turn_until = 0.0
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._store.end_turn(self._node_id)
        except OSError as error:  # TimeoutError is one: it ends by itself
            log.debug("a turn was not ended", extra={"why": repr(error)})


def _shipment(row: Row) -> Shipment:
    signal = {**signals.event(row.text), "topic": row.topic}
    return Shipment(group_name(row.topic), signal, row.key, history_of(row.topic))


async def tend_forever(database: DatabaseExecutor, *, wait_seconds: float) -> NoReturn:
    """Say how much waits, and that it waits long; give up what has waited for so long, until cancelled."""
    is_late = False

    async def tend() -> None:
        nonlocal is_late
        if expired := await database.run(waiting_events.expire, wait_seconds):
            log.error("events waited too long to be shipped, and are lost", extra={"events": expired})
            metrics.child(metrics.EVENTS_TOTAL, "waiting", "expired").inc(expired)
        waiting = await database.run(waiting_events.waiting)
        metrics.EVENTS_WAITING.set(waiting.rows)
        metrics.EVENTS_WAITING_SECONDS.set(waiting.seconds)
        was_late, is_late = is_late, waiting.seconds > LATE_SECONDS
        if is_late and not was_late:
            told = {"events": waiting.rows, "seconds": round(waiting.seconds)}
            log.warning("events wait long to be shipped", extra=told)

    await look_forever(tend, seconds=_TEND_SECONDS, fails="waiting events cannot be counted")
