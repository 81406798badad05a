"""Pages of the gateway's own."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


async def landing(request: HttpRequest) -> HttpResponse:
    """What stands at the root: where an operator goes from here. It tells nothing that needs a login.

    Metrics that nobody asks a token for are meant for the inside; the page does not lead there.
    """
    return render(request, "landing.html", {"metrics_link": bool(settings.METRICS_TOKEN)})
