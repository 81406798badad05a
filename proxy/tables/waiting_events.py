"""Events that were published in a transaction, and wait to be shipped: rows, in the order of their ids.

Who publishes one transaction after another has ids that rise, so the lowest ids that are there come first. No
number says how far one got: a transaction that began early may commit late, and its rows have lower ids than
others that were shipped long ago.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now

from proxy.models import WaitingEvent

# Further ones are not counted: a million rows would cost more than the number is worth.
MOST_COUNTED = 100_000
_ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """An event as its row has it. `key` is its own alone, also when the database begins anew with ids."""

    id: int
    topic: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many rows (at most `MOST_COUNTED`), the first of them for so long."""

    rows: int
    seconds: float


def add(topic: str, text: str) -> None:
    """Write a row, in the transaction that is open, if one is."""
    WaitingEvent.objects.create(topic=topic, text=text, size_bytes=len(text.encode()))


def forget_and_load(shipped: Collection[int], *, most_rows: int, most_bytes: int) -> list[Row]:
    """Delete what was shipped, and answer the first rows of what is left, one at least if there are any."""
    if shipped:
        WaitingEvent.objects.filter(id__in=shipped).delete()
    sizes = _first().values_list("id", "size_bytes")[:most_rows]
    ids = list(_within(sizes, most_bytes))
    found = _first().filter(id__in=ids).values_list("id", "topic", "text", "created_at") if ids else ()
    return [Row(row_id, topic, text, f"{row_id} {at.isoformat()}") for row_id, topic, text, at in found]


def expire(seconds: float) -> int:
    """Delete what has waited for so long, at most some thousands: how many those were."""
    first = list(_first().values_list("id", flat=True)[:_ROWS_AT_ONCE])
    before = Now() - timedelta(seconds=seconds)
    return WaitingEvent.objects.filter(id__in=first, created_at__lt=before).delete()[0]


def waiting() -> Waiting:
    """What waits, by the database's clock."""
    age = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    oldest = _first().annotate(age=age).values_list("age", flat=True).first()
    if oldest is None:
        return Waiting(0, 0.0)
    return Waiting(WaitingEvent.objects.all()[:MOST_COUNTED].count(), max(0.0, oldest.total_seconds()))


def _first() -> QuerySet[WaitingEvent]:
    return WaitingEvent.objects.order_by("id")


def _within(sizes: Iterable[tuple[int, int]], most_bytes: int) -> Iterator[int]:
    total_bytes = 0
    for row_id, size_bytes in sizes:
        total_bytes += size_bytes
        if total_bytes > most_bytes and total_bytes > size_bytes:
            return
        yield row_id
