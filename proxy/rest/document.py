"""GET /api/schema: the API in OpenAPI's words, made once a process and the same for everybody."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.generators import SchemaGenerator

from proxy.core.errors import READ_ONLY, BadRequest


@cache
def document() -> bytes:
    """The schema of the gateway's own paths, as JSON."""
    patterns = [path("api/", include("proxy.rest.urls"))]
    made = SchemaGenerator(patterns=patterns).get_schema(public=True)  # type: ignore[no-untyped-call]
    return json.dumps(made).encode()


@csrf_exempt  # nothing is done
def schema(request: HttpRequest) -> HttpResponse:
    """For tools that make clients, and pages that show it."""
    if request.method not in {"GET", "HEAD"}:
        told = {"code": BadRequest.code, "message": READ_ONLY}
        return JsonResponse(told, status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
    return HttpResponse(document(), content_type="application/vnd.oai.openapi+json")
