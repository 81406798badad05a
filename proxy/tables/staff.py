"""What staff may, asked by the session that their browser has: for pages that stay open."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from proxy.models import Tap

# On these depends what Live shows; without the first it shows nothing.
SEEN_ON_LIVE = ("proxy.view_connection", "proxy.view_refusal", "proxy.view_node", "proxy.view_poolmember")
# Under this an answer of Live says, in its request's scope, which of them it was made by.
SEEN_BY = "gateway.seen_by"
# Who logs out is told so much later at most, and who may see it no more.
SESSION_SECONDS, PERMISSIONS_SECONDS = 5.0, 30.0
_MOST_KNOWN = 256


class WatchedTap(NamedTuple):
    """Which link it looks at, and until when."""

    connection_id: str
    until: datetime


def seen_by(user: Any) -> tuple[bool, ...]:
    """Which of `SEEN_ON_LIVE` the user may."""
    return tuple(_may(user, permission) for permission in SEEN_ON_LIVE)


def seen_by_session(session_key: str) -> tuple[bool, ...]:
    """The same of whose session it is, as the database has it now."""
    return seen_by(_user_of(session_key))


def may_see_connections(session_key: str) -> bool:
    """Whether the session is one of staff that may see connections, as the database has it now."""
    return seen_by_session(session_key)[0]


def note_seen_by(request: HttpRequest, seen: tuple[bool, ...]) -> None:
    """Say of what is answered that it depends on that, and on nothing else of who asks."""
    if (scope := getattr(request, "scope", None)) is not None:
        scope[SEEN_BY] = seen


def watched_tap(session_key: str, tap_id: str) -> WatchedTap | None:
    """The tap, if whoever has that session has begun it and may still; what it sees is for nobody else."""
    user = _user_of(session_key)
    if not _may(user, "proxy.tap_connection"):
        return None
    row = Tap.objects.filter(pk=tap_id, by=user.pk).first()
    return None if row is None else WatchedTap(row.connection_id, row.until)


@dataclass(slots=True)
class _Known:
    """What a session said, and whose it is may see; each of them up to some time."""

    said: dict[str, Any]
    may: tuple[bool, ...]
    said_until: float = 0.0
    may_until: float = 0.0


class Permitted:
    """What sessions may see of Live, as it was some seconds ago at most: one query in five seconds tells who
    has logged out, and all of it is asked in thirty. `clock` is any that only goes on, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def known(self, session_key: str) -> tuple[bool, ...] | None:
        """Which of `SEEN_ON_LIVE` it may. None: `asked` has to be asked, or it may not see the page."""
        known = self._known.get(session_key)
        return known.may if known is not None and self._clock() < known.said_until else None

    def asked(self, session_key: str) -> tuple[bool, ...] | None:
        """The same, of the database. None where it may not see the page, or is none."""
        said, now = _session(session_key).load(), self._clock()
        known = self._known.pop(session_key, None)
        if known is None or known.said != said or now >= known.may_until:
            known = _Known(said, seen_by_session(session_key), may_until=now + PERMISSIONS_SECONDS)
        if not known.may[0]:
            return None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        known.said_until = min(now + SESSION_SECONDS, known.may_until)
        self._known[session_key] = known
        return known.may

    def forget(self, session_key: str) -> None:
        """It has turned out to see something else."""
        self._known.pop(session_key, None)


def _session(session_key: str) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)


def _user_of(session_key: str) -> Any:
    request = HttpRequest()
    request.session = _session(session_key)
    return get_user(request)


def _may(user: Any, permission: str) -> bool:
    return bool(user.is_active and user.is_staff and user.has_perm(permission))
