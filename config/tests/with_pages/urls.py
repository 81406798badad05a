"""Plain HTTP by an app of somebody's own."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt  # it is told by a machine
def told(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"bytes": len(request.body)})


urlpatterns = [path("told/here", told), path("untold", told)]
