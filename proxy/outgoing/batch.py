"""Some events sent side by side: those of a key one after another, each once the one before is taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from proxy import metrics
from proxy.core.outgoing import Row
from proxy.outgoing.destination import NotNow, OneRefused, Refused, Sent, Session

logger = logging.getLogger(__name__)

_SHOWN_CHARS = 200


class Batch:
    """What becomes of some rows.

    Attributes:
        sent: ids of those that the broker has; `keys_sent`: their keys.
        refused: ids of those that it will never take, and why.
        held: keys of those that it does not take for now.
        under_way: those that nobody knows of.
        unrouted: the last one that nobody had asked for.
        progress_at: when the broker last said anything, on the loop's clock.
    """

    def __init__(self, session: Session, destination: str, *, may_send: Callable[[], bool]) -> None:
        self._session, self._destination, self._may_send = session, destination, may_send
        self.sent: list[int] = []
        self.keys_sent: set[str] = set()
        self.refused: dict[int, str] = {}
        self.held: dict[str, str] = {}
        self.unrouted: Row | None = None
        self.under_way: dict[int, Row] = {}
        self._clock = asyncio.get_running_loop().time
        self.progress_at = self._clock()

    async def send(self, rows: Sequence[Row], *, at_once: int) -> None:
        """Send `rows`, so many keys at a time. Raises what the session does, but for Refused and NotNow."""
        of_key: dict[str, list[Row]] = {}
        for row in rows:
            of_key.setdefault(row.key, []).append(row)
        chains = iter(of_key.values())
        async with asyncio.TaskGroup() as tasks:
            for number in range(min(at_once, len(of_key))):
                tasks.create_task(self._send_chains(chains), name=f"outgoing:send:{number}")

    async def _send_chains(self, chains: Iterator[Sequence[Row]]) -> None:
        this = asyncio.current_task()
        for chain in chains:  # which all share
            for row in chain:
                # A client library may have swallowed a cancellation, as Python 3.11's `wait_for` does.
                if not self._may_send() or (this is not None and this.cancelling()):
                    return
                if not await self._send(row):
                    break

    async def _send(self, row: Row) -> bool:
        """Whether the next one of its key may go."""
        self.under_way[row.id] = row
        try:
            became = await self._session.send(row)
        except Refused as refused:
            self._refuse(row, str(refused))
        except NotNow as error:
            self.held[row.key] = str(error)
            del self.under_way[row.id]
            return False
        except OneRefused as refused:
            if len(self.under_way) == 1:
                self._refuse(row, str(refused))
            raise
        else:
            self._took(row, became)
        self.progress_at = self._clock()
        return True

    def _took(self, row: Row, became: Sent) -> None:
        del self.under_way[row.id]
        self.sent.append(row.id)
        self.keys_sent.add(row.key)
        if became is Sent.UNROUTED:
            self.unrouted = row
        metrics.child(metrics.OUTGOING_EVENTS_TOTAL, self._destination, became.value).inc()

    def _refuse(self, row: Row, why: str) -> None:
        del self.under_way[row.id]
        self.refused[row.id] = why
        metrics.child(metrics.OUTGOING_EVENTS_TOTAL, self._destination, "refused").inc()
        told = {"event_id": row.id, "subject": row.subject[:_SHOWN_CHARS], "why": why[:_SHOWN_CHARS]}
        logger.error("a broker refuses an event for other services, which is set aside", extra=told)
