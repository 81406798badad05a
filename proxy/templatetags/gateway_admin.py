"""Template filters of the admin pages."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from proxy.admin.pages import foreign
from proxy.core.human import duration

register = template.Library()


@register.filter
def age(at: datetime) -> str:
    """How long ago `at` was: `3m 07s`."""
    return duration((timezone.now() - at).total_seconds())


@register.filter(name="foreign")
def show_foreign(text: str, otherwise: str = "-") -> str:
    """Text that a client or a token chose."""
    return foreign(text, otherwise=otherwise)
