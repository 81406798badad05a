"""Template filters of the admin pages."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from proxy.admin.pages import foreign
from proxy.admin.people.urls import person_url
from proxy.core.human import duration as in_words
from proxy.core.human import rate as rate_in_words
from proxy.core.human import size

register = template.Library()


@register.filter
def age(at: datetime) -> str:
    """How long ago `at` was: `3m 07s`."""
    return in_words((timezone.now() - at).total_seconds())


@register.filter(name="foreign")
def show_foreign(text: str, otherwise: str = "-") -> str:
    """Text that a client or a token chose."""
    return foreign(text, otherwise=otherwise)


@register.filter
def duration(seconds: float) -> str:
    """`3m 07s`."""
    return in_words(seconds)


@register.filter
def thousands(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


@register.filter
def rate(a_second: float) -> str:
    """`3.1/s`."""
    return rate_in_words(a_second)


@register.filter(name="person_url")
def show_person_url(user_id: str) -> str:
    """The page of that user."""
    return person_url(user_id)


@register.filter
def in_size(size_bytes: int) -> str:
    """`1.4 KB`."""
    return size(size_bytes)


@register.filter
def a_second(number: int, since: datetime) -> str:
    """So many a second, on average since then: `3.2/s`."""
    return rate_in_words(number / max(1.0, (timezone.now() - since).total_seconds()))
