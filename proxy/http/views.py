"""Pages of the gateway's own."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt


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
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Cache-Control": "no-store"}
    return JsonResponse(answer, status=426, headers=headers)
