"""Template filters of the admin pages."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from proxy.core.human import duration

register = template.Library()


@register.filter
def age(at: datetime) -> str:
    """How long ago `at` was: `3m 07s`."""
    return duration((timezone.now() - at).total_seconds())
