"""What is left of a client's leg once a splice has its socket."""

from __future__ import annotations

from typing import Any

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.engine.links.splice import Splice


class HandedOver:
    """Passes the server's wishes on. What the client does is the splice's, what comes of it the life's."""

    __slots__ = ("_splice",)

    def __init__(self, splice: Splice) -> None:
        self._splice = splice

    @property
    def is_live(self) -> bool:
        return self._splice.ended is None

    async def send(self, message: dict[str, Any]) -> None:
        """Nothing: the application is done with it."""

    def close(self, close: Close, *, by: ClosedBy) -> None:
        self._splice.end(close, by)

    def abort(self) -> None:
        self._splice.abort()

    def tick(self, now: float) -> None:
        """Nothing: the splice has a clock of its own."""

    def application_ended(self, *, well: bool) -> None:
        if not well:
            self.close(closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)
