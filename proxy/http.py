"""What every HTTP request passes before Django's own middleware and views, and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def clean_text(get_response: GetResponse) -> GetResponse:
    """Refuses text that no database keeps, wherever a request may carry it, and forms that are not UTF-8.

    PostgreSQL raises on NUL, and every driver on halves of surrogate pairs, which a form in UTF-7 can hold.
    Reads the form, so it runs in a thread, where Django runs what is synchronous.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if (request.encoding or "utf-8").lower() not in {"utf-8", "utf8"}:
            raise BadRequest("a form that is not UTF-8")
        if not all(map(_is_clean, _texts(request))):
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


def _is_clean(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
