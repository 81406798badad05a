"""How many live links there are, counted no further than lists are paged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, Q

from proxy.models import Connection

MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Totals:
    """So many live links, of so many users; `is_bounded`: at least, and there are more."""

    links: int
    users: int
    is_bounded: bool


class Counted(NamedTuple):
    """So many live links; `is_bounded`: at least, and there are more."""

    links: int
    is_bounded: bool


def count_live(*having: Q, **wanted: Any) -> Counted:
    """Live links that have all that, counted up to `MOST_COUNTED`."""
    live = Connection.objects.filter(*having, closed_at=None, **wanted).order_by()
    links = live[: MOST_COUNTED + 1].count()
    return Counted(min(links, MOST_COUNTED), is_bounded=links > MOST_COUNTED)


def totals() -> Totals:
    """Counted up to `MOST_COUNTED`."""
    most = MOST_COUNTED
    some = Connection.objects.filter(closed_at=None).order_by()[: most + 1]
    counted = some.aggregate(links=Count("pk"), users=Count("user_id", distinct=True))
    links = counted["links"]
    return Totals(min(links, most), min(counted["users"], most), is_bounded=links > most)
