"""Pages of the gateway's own."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from proxy.core.errors import BadRequest, GatewayError, NotFound

_API = "/api/"


async def landing(request: HttpRequest) -> HttpResponse:
    """What stands at the root: where an operator goes from here. It tells nothing that needs a login.

    Metrics that nobody asks a token for are meant for the inside; the page does not lead there.
    """
    return render(request, "landing.html", {"metrics_link": bool(settings.METRICS_TOKEN)})


@csrf_exempt  # nothing is done
async def upgrade_required(_: HttpRequest, **__: object) -> JsonResponse:
    """Plain HTTP where a route takes sockets: mostly a proxy drops the upgrade (RFC 9110, 15.5.22)."""
    answer = {
        "code": "upgrade_required",
        "message": "This path takes WebSockets, and no `Upgrade: websocket` came: a proxy must pass it on.",
    }
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    return JsonResponse(answer, status=426, headers=headers | {"Cache-Control": "no-store"})


@csrf_exempt  # nothing is done
def no_such_api(_: HttpRequest) -> JsonResponse:
    """A program has asked for what the HTTP API does not have; it reads no page."""
    return _for_programs(NotFound, f"{NotFound.message} /api/schema lists the paths that there are.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What no view has seen: another Host, NUL in the path or the query, a body in another encoding."""
    if request.path.startswith(_API):
        return _for_programs(
            BadRequest, "The Host, the path, the query or the encoding of this is not valid."
        )
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """What went wrong here is in the log."""
    if request.path.startswith(_API):
        return _for_programs(GatewayError, GatewayError.message)
    return defaults.server_error(request)


def _for_programs(error: type[GatewayError], message: str) -> JsonResponse:
    """As the API's own views answer."""
    told = {"code": error.code, "message": message}
    return JsonResponse(told, status=error.status, headers={"Cache-Control": "no-store"})
