"""What staff may, asked by the session that their browser has: for pages that stay open."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from proxy.models import Tap


class WatchedTap(NamedTuple):
    """Which link it looks at, and until when."""

    connection_id: str
    until: datetime


def may_see_connections(session_key: str) -> bool:
    """Whether the session is one of staff that may see connections, as the database has it now."""
    return _may(_user_of(session_key), "proxy.view_connection")


def watched_tap(session_key: str, tap_id: str) -> WatchedTap | None:
    """The tap, if whoever has that session has begun it and may still; what it sees is for nobody else."""
    user = _user_of(session_key)
    if not _may(user, "proxy.tap_connection"):
        return None
    row = Tap.objects.filter(pk=tap_id, by=user.pk).first()
    return None if row is None else WatchedTap(row.connection_id, row.until)


def _user_of(session_key: str) -> Any:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    return get_user(request)


def _may(user: Any, permission: str) -> bool:
    return bool(user.is_active and user.is_staff and user.has_perm(permission))
