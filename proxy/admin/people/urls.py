"""A user id in a URL: any text there is, so that each has a page."""

from __future__ import annotations

from django.contrib.admin.utils import quote, unquote
from django.urls import reverse

_DOT = "_2E"


def person_url(user_id: str) -> str:
    """The page of that user. Browsers resolve `.` and `..`, however they are quoted: so these are not."""
    key = quote(user_id)
    if not user_id.strip("."):
        key = key.replace(".", _DOT)
    return reverse("admin:proxy_person_change", args=[key])


def person_of(key: str) -> str:
    """Whose page that part of a URL names. No other id has `_2E` in it: its underscore would be `_5F`."""
    return unquote(key.replace(_DOT, "."))
