"""Refusals, added up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from proxy.core.causes import refused_words_of
from proxy.models import Refusal

MOST_CAUSES = 4


def lately(*, minutes: int) -> dict[str, Any]:
    """How many were refused within the last minutes, and why, the most frequent causes first."""
    since = timezone.now() - timedelta(minutes=minutes)
    rows = Refusal.objects.filter(refused_at__gte=since).order_by().values_list("cause")
    counted = sorted(rows.annotate(times=Sum("times")), key=lambda row: -row[1])
    causes = [(cause, refused_words_of(cause), times) for cause, times in counted]
    return {
        "times": sum(times for *_, times in causes),
        "causes": causes[:MOST_CAUSES],
        "by_cause": dict(counted),
    }
