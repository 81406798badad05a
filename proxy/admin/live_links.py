"""How many live links hear topics, for pages that ask first: counted up to a bound, and said so."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Count

from proxy.admin.pages import BoundedPaginator
from proxy.models import Connection

# So many live links are looked at in all; a topic's own are counted as far as a list is paged.
MOST_LOOKED_AT = 100_000


class LiveLinks:
    """As the record has them, of links that hear one of `topics` as their route's own; one query."""

    def __init__(self, topics: Collection[str]) -> None:
        live: Any = Connection.objects.filter(closed_at=None, topic__in=topics).order_by()
        looked_at = live.values("pk")[: MOST_LOOKED_AT + 1]
        counted = Connection.objects.filter(pk__in=looked_at).order_by().values("topic")
        self._counts = dict(counted.annotate(links=Count("pk")).values_list("topic", "links"))
        self._is_cut = self.total > MOST_LOOKED_AT

    @property
    def total(self) -> int:
        """At most one more than are looked at."""
        return sum(self._counts.values())

    def of(self, topic: str) -> str:
        """`34`, or `10,000+` where counting stopped."""
        return self._text(self._counts.get(topic, 0))

    def in_words(self) -> str:
        """`34 live links`, of all the topics."""
        return f"{self._text(self.total)} live link{'' if self.total == 1 else 's'}"

    def _text(self, links: int) -> str:
        is_more = self._is_cut or links > BoundedPaginator.MOST_ROWS
        return f"{min(links, BoundedPaginator.MOST_ROWS):,}{'+' if is_more else ''}"
