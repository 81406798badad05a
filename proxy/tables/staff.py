"""What staff may, asked by the session that their browser has: for pages that stay open."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest


def may_see_connections(session_key: str) -> bool:
    """Whether the session is one of staff that may see connections, as the database has it now."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    user = get_user(request)
    return user.is_active and user.is_staff and user.has_perm("proxy.view_connection")
