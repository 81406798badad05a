"""What every HTTP request passes before Django's own middleware and views, and what every answer carries."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware
from whitenoise.middleware import WhiteNoiseMiddleware

from proxy.socket.middleware import (
    Application,
    ClientAddress,
    RequestId,
    Scope,
    Wrapper,
    told_by_proxy,
)
from proxy.tables.executor import is_away

log = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponseBase]

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PERMISSIONS_POLICY = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
DATABASE_RETRY_SECONDS = 5
_KEPT_BY_NO_DATABASE = re.compile("[\0\ud800-\udfff]")


class Forwarded(Wrapper):
    """Lets Django see the client and the scheme as a trusted proxy tells them; others could claim anything.

    The scheme is the first of X-Forwarded-Proto: what the client spoke, with the first proxy of several.
    """

    scope_types = ("http",)

    def look(self, scope: Scope) -> None:
        if told_by_proxy(scope, b"x-forwarded-proto").lower() == "https":
            scope["scheme"] = "https"
        address = scope["client_address"]
        scope["client"] = [address, 0] if address else None
        # `charset*=rot13''x`: no browser says so, and Django answers 500.
        scope["headers"] = [
            (name, value)
            for name, value in scope["headers"]
            if not (name == b"content-type" and b"*" in value)
        ]


def http_middleware(app: Application) -> Application:
    """`app` behind what every request passes first: request id, client address, scheme."""
    return RequestId(ClientAddress(Forwarded(app)))


@sync_and_async_middleware
def security_headers(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Content-Security-Policy, Permissions-Policy and the request's id, by which operators find it in their
    log, on every answer; as the outermost, on errors, too."""

    async def middleware_of_async(request: HttpRequest) -> HttpResponseBase:
        return _with_policies(request, await get_response(request))

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return _with_policies(request, get_response(request))

    return middleware_of_async if iscoroutinefunction(get_response) else middleware


def _with_policies(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    scope: Scope = getattr(request, "scope", {})  # a WSGI server has none
    if request_id := scope.get("request_id"):
        response.headers["X-Request-Id"] = request_id
    response.headers["Permissions-Policy"] = PERMISSIONS_POLICY
    # Django's pages for developers have their styles and scripts inside.
    if not (settings.DEBUG and response.status_code in {400, 404, 500}):
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


def clean_text(get_response: GetResponse) -> GetResponse:
    """Refuses text that no database keeps, wherever a request may carry it, and forms that are not UTF-8.

    PostgreSQL raises on NUL, and every driver on halves of surrogate pairs, which a form in UTF-7 can hold.
    Reads the form, so it runs in a thread, where Django runs what is synchronous.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if (request.encoding or "utf-8").lower() not in {"utf-8", "utf8"}:
            raise BadRequest("a form that is not UTF-8")
        if any(map(_KEPT_BY_NO_DATABASE.search, _texts(request))):
            raise BadRequest("NUL or half a surrogate pair")
        return get_response(request)

    return middleware


def _texts(request: HttpRequest) -> Iterable[str]:
    yield request.path
    yield from request.COOKIES.values()
    for form in (request.GET, request.POST):
        for name, values in form.lists():
            yield name
            yield from map(str, values)


class DatabaseAway:
    """Answers 503 where a view did not get at its rows in time: the database is away, locked or busy."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django calls this with what a view raised."""
        if not is_away(error):
            return None
        log.warning("page: the database is away", extra={"path": request.path, "why": repr(error)})
        page = render(request, "503.html", {"retry_seconds": DATABASE_RETRY_SECONDS}, status=503)
        page["Retry-After"] = str(DATABASE_RETRY_SECONDS)
        page._has_been_logged = True  # type: ignore[attr-defined]  # Django would log an error
        return page


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # WhiteNoise has no types
    """WhiteNoise answers with a stream, which under ASGI Django reads whole all the same, with a warning."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        stream = WhiteNoiseMiddleware.serve(static_file, request)
        response = HttpResponse(b"".join(stream), status=stream.status_code)
        response.headers = stream.headers
        stream.close()
        return response


def in_one_thread(get_response: GetResponse) -> GetResponse:
    """Stands behind all others, and cannot be awaited: so all run in the thread that the first one needs.

    Django has those that can be both ways go with what they wrap: in front of a view that may be awaited,
    each would hop to a thread with the request, and again with the answer.
    """
    return get_response
