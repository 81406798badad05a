"""What all nodes did, a row a minute: as many rows as a month has, however many nodes there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from proxy.core.samples import Sample, of_time
from proxy.models import Minute

KEPT = timedelta(days=30)
_ROWS_AT_ONCE = 500


def newest() -> int | None:
    """When the last minute that is written began, in Unix seconds."""
    row = Minute.objects.order_by("-at").values_list("at", flat=True).first()
    return None if row is None else int(row.timestamp())


def write(minutes: Iterable[Sample]) -> None:
    """Write minutes, over those of the same time, and forget those that are too old."""
    rows = [Minute(at=_moment(each.at - each.at % 60), sample=each.encoded()) for each in minutes]
    Minute.objects.bulk_create(rows, update_conflicts=True, unique_fields=["at"], update_fields=["sample"])
    if rows:
        Minute.objects.filter(at__lt=max(row.at for row in rows) - KEPT).delete()


def by_step(begin: int, *, step_seconds: int) -> list[Sample]:
    """What was done from then on, each step that anybody told of as one sample."""
    return [
        of_time(list(step)) for _, step in groupby(_since(begin), key=lambda each: each.at // step_seconds)
    ]


def _since(begin: int) -> Iterator[Sample]:
    texts = Minute.objects.filter(at__gte=_moment(begin)).order_by("at").values_list("sample", flat=True)
    return map(Sample.decoded, texts.iterator(chunk_size=_ROWS_AT_ONCE))


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC)
