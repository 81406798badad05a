"""A node's sign of life in the database, and the closing of what a lost node left open."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from datetime import timedelta

from django.db import Error, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Now

from proxy.core.causes import Cause
from proxy.core.closes import LOST, ClosedBy
from proxy.models import Connection, Node
from proxy.tables import turns
from proxy.tables.executor import DatabaseExecutor

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
LOST_AFTER_SECONDS = 15.0
# So often one of all processes looks through all live rows for those of nodes that do not run.
SEARCH_SECONDS = 180.0
_SEARCH = "reap"
# A beat may take so long before we say that the database does not answer.
OVERDUE_SECONDS = 2.0
# The database's time before which the last heartbeat of a lost node was.
_LOST_BEFORE = Now() - timedelta(seconds=LOST_AFTER_SECONDS)


class NodeHeart:
    """Registers this process as a node, and beats.

    All times are the database's, so clocks do not matter. `is_draining` is asked at each beat; while it is
    not, `on_told_to_drain` is called on the event loop where our row says that staff have. `on_returned`
    is called on the event loop whenever our row had to be written anew (at the start, and after others took
    us for lost) and after an outage: all live links must be noted again. `may_reap` is called after each
    beat, but for a while after an outage: it silenced every node, and the others need time to beat before we
    call them lost.
    """

    def __init__(
        self,
        executor: DatabaseExecutor,
        *,
        node_id: str,
        is_draining: Callable[[], bool] = lambda: False,
        on_told_to_drain: Callable[[], None] = lambda: None,
        on_returned: Callable[[], None] = lambda: None,
        may_reap: Callable[[], None] = lambda: None,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._executor, self._beat_seconds = executor, beat_seconds
        self._node = Node(id=node_id, host=socket.gethostname(), pid=os.getpid())
        self._is_draining, self._on_returned, self._may_reap = is_draining, on_returned, may_reap
        self._on_told_to_drain = on_told_to_drain
        self._away = False
        self._beaten_at: float | None = None
        self._reap_after = 0.0

    @property
    def name(self) -> str:
        """By which staff know the node."""
        return str(self._node)

    @property
    def beating(self) -> bool:
        """True while the database takes our heartbeats; False before the first, and when one is overdue."""
        if self._beaten_at is None or self._away:
            return False
        since_seconds = asyncio.get_running_loop().time() - self._beaten_at
        return since_seconds < self._beat_seconds + OVERDUE_SECONDS

    @property
    def has_beaten(self) -> bool:
        """True once the database has taken a heartbeat."""
        return self._beaten_at is not None

    async def run(self) -> None:
        """Beat until cancelled. The database being away is logged once an outage and never raises."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._beat_seconds
            try:
                await self.beat()
            except Exception as error:  # noqa: BLE001  the task's outermost edge: no outage may end the heart
                self._note_outage(error)
            await asyncio.sleep(max(0.0, due - clock()))

    async def beat(self) -> bool:
        """Beat once; whether our row had to be written anew.

        Raises django.db.Error or TimeoutError when the database is away.
        """
        self._node.draining = self._is_draining()
        registered, is_told_to_drain = await self._executor.run(_beat_and_look, self._node)
        # A beat that we gave up may have taken effect unseen, so that an outage counts as a return, too.
        if registered or self._away:
            self._on_returned()
        if self._away:
            log.info("node: beating again")
        self._away = False
        self._beaten_at = asyncio.get_running_loop().time()
        if self._beaten_at >= self._reap_after:
            self._may_reap()
        if is_told_to_drain and not self._is_draining():
            self._on_told_to_drain()
        return registered

    async def stop(self) -> None:
        """Mark the node as stopped; call it last, after the recorder's `close`. Logs what fails."""
        try:
            await self._executor.run(_stop, self._node.id)
        except Exception as error:  # noqa: BLE001  a stop goes on; others will find the node lost
            log.warning("node: cannot mark it stopped: %r", error)

    def _note_outage(self, error: Exception) -> None:
        if not self._away:
            log.warning("node: cannot beat: %r", error)
        self._away = True
        self._reap_after = asyncio.get_running_loop().time() + self._beat_seconds + LOST_AFTER_SECONDS


class Reaper:
    """Closes what lost nodes left open, beside the heart: no beat waits for it, however long it takes.

    `on_lost` is called on the event loop when a node was found lost.
    """

    def __init__(self, *, on_lost: Callable[[], None] = lambda: None) -> None:
        self._due, self._on_lost = asyncio.Event(), on_lost
        self._fails = False

    def wake(self) -> None:
        """Reap now, or as soon as the reap under way is over."""
        self._due.set()

    async def run(self) -> None:
        """Reap whenever woken, one at a time, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self.reap()

    async def reap(self) -> tuple[int, int]:
        """Reap once; (0, 0) if that fails, on a table that somebody locks, say, which is no outage."""
        database = DatabaseExecutor()  # of its own: neither a beat nor the record waits for it
        try:
            nodes_lost, closed = await database.run(reap)
        except (Error, TimeoutError) as error:
            if not self._fails:
                log.warning("node: cannot close what lost nodes left open: %r", error)
            self._fails = True
            return 0, 0
        finally:
            await database.close()
        self._fails = False
        if nodes_lost or closed:
            log.warning("node: %d nodes lost, %d links closed for them", nodes_lost, closed)
        if nodes_lost:
            self._on_lost()
        return nodes_lost, closed


def _beat_and_look(node: Node) -> tuple[bool, bool]:
    """Answers whether our row had to be written anew, and whether it says that we are to drain."""
    told = Node.objects.filter(pk=node.pk, told_to_drain_at__isnull=False)
    return _beat(node), not node.draining and told.exists()


def _beat(node: Node) -> bool:
    """Answers whether our row had to be written anew."""
    beaten = Node.objects.filter(pk=node.pk, stopped_at=None).update(
        heartbeat_at=Now(), draining=node.draining
    )
    if not beaten:
        _register(node)
    return not beaten


def _register(node: Node) -> None:
    """Write our row: a new one, or ours again after it was deleted or marked lost."""
    row = Node(
        id=node.id, host=node.host, pid=node.pid, draining=node.draining, started_at=Now(), heartbeat_at=Now()
    )
    Node.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["heartbeat_at", "stopped_at", "draining"],
    )


def _stop(node_id: str) -> None:
    Node.objects.filter(pk=node_id).update(stopped_at=Now(), heartbeat_at=Now())


def running_nodes() -> QuerySet[Node]:
    """Nodes that beat lately and were not stopped."""
    return Node.objects.filter(stopped_at=None, heartbeat_at__gte=_LOST_BEFORE)


_LAST_HEARD = Node.objects.filter(pk=OuterRef("node_id")).values("heartbeat_at")


def reap() -> tuple[int, int]:
    """Mark silent nodes as stopped and close what they left open. Answers (nodes, connections).

    What others left open that do not run (that stopped without an end of a link, or never registered) is
    looked for by one process in `SEARCH_SECONDS`: all live rows are read for it.
    """
    nodes_lost, of_nobody = 0, Q()
    with transaction.atomic():
        silent = Node.objects.filter(stopped_at=None, heartbeat_at__lt=_LOST_BEFORE)
        lost = list(silent.values_list("pk", flat=True))
        if lost:
            nodes_lost = silent.filter(pk__in=lost).update(stopped_at=Now())
            gone = Node.objects.filter(pk__in=lost, stopped_at__isnull=False)  # one may have beaten meanwhile
            of_nobody |= Q(node_id__in=list(gone.values_list("pk", flat=True)))
        if turns.is_due(_SEARCH, SEARCH_SECONDS):
            running = Node.objects.filter(stopped_at=None).values_list("pk", flat=True)
            of_nobody |= ~Q(node_id__in=list(running))
        closed = _close(of_nobody) if of_nobody else 0
    return nodes_lost, closed


def _close(whose: Q) -> int:
    """Close the connections that are open and of these, when their node was last heard of; how many."""
    return Connection.objects.filter(whose, closed_at=None).update(
        closed_at=Greatest("opened_at", Coalesce(Subquery(_LAST_HEARD), Now())),
        closed_by=ClosedBy.NODE_LOST.value,
        close_code=LOST.code,
        close_reason="node lost",
        cause=Cause.NODE_LOST.value,
    )
