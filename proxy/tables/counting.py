"""How many live links there are, counted no further than lists are paged."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from proxy.models import Connection

MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Totals:
    """So many live links, of so many users; `is_bounded`: at least, and there are more."""

    links: int
    users: int
    is_bounded: bool


def totals() -> Totals:
    """Counted up to `MOST_COUNTED`."""
    most = MOST_COUNTED
    some = Connection.objects.filter(closed_at=None).order_by()[: most + 1]
    counted = some.aggregate(links=Count("pk"), users=Count("user_id", distinct=True))
    links = counted["links"]
    return Totals(min(links, most), min(counted["users"], most), is_bounded=links > most)
