"""Links that note how they were ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from proxy.core.closes import Close, ClosedBy
from proxy.core.records import ConnectionRecord
from proxy.engine.links.link import Link


class Ends:
    """A stream that notes how it was ended."""

    buffered_bytes, gathers = 0, False

    def __init__(self) -> None:
        self.ends: list[tuple[int, str, ClosedBy]] = []

    def inject(self, *events: Any) -> None: ...
    def abort(self) -> None: ...

    def end(self, close: Close, by: ClosedBy) -> bool:
        self.ends.append((close.code, close.reason, by))
        return len(self.ends) == 1


def link(
    link_id: str, user_id: str, *, age_seconds: float = 60, topics: tuple[str, ...] = ()
) -> tuple[Link, Ends]:
    opened_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    record = ConnectionRecord(id=link_id, route="game", opened_at=opened_at, user_id=user_id)
    made = Link(record, topics=topics)
    stream = Ends()
    made.begin(stream)
    return made, stream
