"""Events for other services that wait to be sent: rows, in the order of their ids.

Who writes events of one key lets one transaction end before the next one begins, so their ids rise in the
order of their commits. No number says how far sending got: a transaction that began early may commit late,
with lower ids than others that were sent long ago, and these are of other keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now

from proxy.core.outgoing import Outgoing, Row, Waiting, next_batch
from proxy.models import OutgoingEvent

MOST_ROWS, MOST_BYTES = 500, 4 << 20
# Of one key in a batch: its events wait for each other, and all others for the end of the batch.
MOST_OF_A_KEY = 100
# How far a batch looks for keys other than those that have a lot to say.
LOOK_ROWS = 1_000
# Further ones are not counted: a million rows would cost more than the number is worth.
MOST_COUNTED = 100_000
_ROWS_AT_ONCE = 5_000
_WHY_CHARS = 255


@dataclass(frozen=True, slots=True)
class Counts:
    """So many rows wait, the first of them for so long, and so many were refused; at most `MOST_COUNTED`."""

    waiting: int
    seconds: float
    refused: int


def add(events: Iterable[Outgoing]) -> int:
    """Write rows by one INSERT, in the transaction that is open, if one is: how many those were.

    SQLite takes some hundred in one. Raises ValueError: a body is none; then none is written.
    """
    rows = [_row(event) for event in events]
    OutgoingEvent.objects.bulk_create(rows)
    return len(rows)


def any_waits() -> bool:
    return _waiting().exists()


def note(sent: Collection[int], refused: Mapping[int, str]) -> None:
    """Delete what was sent, by one statement, and keep what was refused, with the reason."""
    with transaction.atomic():
        if sent:
            OutgoingEvent.objects.filter(id__in=sent).delete()
        for row_id, why in refused.items():
            OutgoingEvent.objects.filter(id=row_id).update(refused=why[:_WHY_CHARS])


def load(*, held: Collection[str] = ()) -> list[Row]:
    """What to send next, but for `held` keys."""
    waiting = _waiting().exclude(key__in=held) if held else _waiting()
    sizes = (Waiting(*row) for row in waiting.values_list("id", "key", "size_bytes")[:LOOK_ROWS])
    ids = next_batch(sizes, most_rows=MOST_ROWS, most_bytes=MOST_BYTES, most_of_a_key=MOST_OF_A_KEY)
    fields = ("id", "subject", "key", "body", "created_at")
    found = _waiting().filter(id__in=ids).values_list(*fields) if ids else ()
    return [
        Row(row_id, subject, key, body, f"{row_id}-{round(at.timestamp() * 1_000_000)}")
        for row_id, subject, key, body, at in found
    ]


def expire(seconds: float) -> int:
    """Delete what was written so long ago, refused or not, at most some thousands: how many those were."""
    first = list(OutgoingEvent.objects.order_by("id").values_list("id", flat=True)[:_ROWS_AT_ONCE])
    before = Now() - timedelta(seconds=seconds)
    return OutgoingEvent.objects.filter(id__in=first, created_at__lt=before).delete()[0]


def counts() -> Counts:
    """What waits, by the database's clock."""
    age = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    oldest = _waiting().annotate(age=age).values_list("age", flat=True).first()
    return Counts(
        0 if oldest is None else _waiting().order_by()[:MOST_COUNTED].count(),
        0.0 if oldest is None else max(0.0, oldest.total_seconds()),
        OutgoingEvent.objects.exclude(refused="")[:MOST_COUNTED].count(),
    )


def send_again(ids: Sequence[int]) -> int:
    """Have refused rows tried again: how many those are. What came after them is not waited for."""
    return OutgoingEvent.objects.filter(id__in=ids).exclude(refused="").update(refused="")


def _row(event: Outgoing) -> OutgoingEvent:
    text = event.text()
    return OutgoingEvent(subject=event.subject, key=event.key, body=text, size_bytes=len(text))


def _waiting() -> QuerySet[OutgoingEvent]:
    return OutgoingEvent.objects.filter(refused="").order_by("id")
