"""A page that says so while the database is away, locked or busy, in place of a bare 500."""

from __future__ import annotations

import logging

from django.db import Error, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from proxy.http.guard import GetResponse
from proxy.tables.executor import is_read_only

log = logging.getLogger(__name__)
RETRY_SECONDS = 5


class DatabaseAway:
    """Answers 503 where a view did not get at its rows in time."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django calls this with what a view raised."""
        if not _is_away(error):
            return None
        log.warning("page: the database is away", extra={"path": request.path, "why": repr(error)})
        page = render(request, "503.html", {"retry_seconds": RETRY_SECONDS}, status=503)
        page["Retry-After"] = str(RETRY_SECONDS)
        page._has_been_logged = True  # type: ignore[attr-defined]  # Django would log an error
        return page


def _is_away(error: Exception) -> bool:
    """Also when it is an old primary, which takes no writes: the next connection may lead to the new one."""
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return isinstance(error, Error) and is_read_only(error)
