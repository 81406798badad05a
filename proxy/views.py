"""Pages of the gateway's own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


async def landing(request: HttpRequest) -> HttpResponse:
    """What stands at the root: where an operator goes from here. It tells nothing that needs a login."""
    return render(request, "landing.html")
