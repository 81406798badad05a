"""How many live links hear topics, for pages that ask first: counted up to a bound, and said so."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Count

from proxy.admin.pages import BoundedPaginator
from proxy.models import Connection
from proxy.tables.counting import Counted

# So many live links are looked at in all; a topic's own are counted as far as a list is paged.
MOST_LOOKED_AT = 100_000


class LiveLinks:
    """As the record has them, of links that hear one of `topics` as their route's own; one query."""

    def __init__(self, topics: Collection[str]) -> None:
        live: Any = Connection.objects.filter(closed_at=None, topic__in=topics).order_by()
        looked_at = live.values("pk")[: MOST_LOOKED_AT + 1]
        counted = Connection.objects.filter(pk__in=looked_at).order_by().values("topic")
        self._counts = dict(counted.annotate(links=Count("pk")).values_list("topic", "links"))
        links = sum(self._counts.values())
        # Of all the topics.
        self.total = Counted(min(links, MOST_LOOKED_AT), is_bounded=links > MOST_LOOKED_AT)

    def counted(self, topic: str) -> Counted:
        """Of one of them."""
        return self._as_paged(self._counts.get(topic, 0))

    def of(self, topic: str) -> str:
        """`34`, or `10,000+` where counting stopped."""
        return _text(self.counted(topic))

    def in_words(self) -> str:
        """`34 live links`, of all the topics."""
        links = self.total.links
        return f"{_text(self._as_paged(links))} live link{'' if links == 1 else 's'}"

    def _as_paged(self, links: int) -> Counted:
        most = BoundedPaginator.MOST_ROWS
        return Counted(min(links, most), is_bounded=self.total.is_bounded or links > most)


def _text(counted: Counted) -> str:
    return f"{counted.links:,}{'+' if counted.is_bounded else ''}"
