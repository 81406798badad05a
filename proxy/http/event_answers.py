"""What answers that are streams of events share with those that refuse one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse

# A page whose stream broke comes back after so long.
RETRY_MS = 2_000
RETRY_SECONDS = 5
STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
HELLO = b"retry: %d\n\n" % RETRY_MS
HEARTBEAT = b": nothing new\n\n"
LOGGED_OUT = b'event: end\ndata: {"why":"logged_out"}\n\n'


def session_key_of(request: HttpRequest) -> str:
    """That of the browser's session, or ""."""
    return request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


def away(why: str) -> JsonResponse:
    """503: it may be asked for again soon."""
    refused = answer(503, "unavailable", f"Not now: {why}.")
    refused["Retry-After"] = str(RETRY_SECONDS)
    return refused


def answer(status: int, code: str, message: str) -> JsonResponse:
    """An answer that nobody keeps."""
    told: dict[str, Any] = {"code": code, "message": message}
    return JsonResponse(told, status=status, headers={"Cache-Control": "no-store"})
