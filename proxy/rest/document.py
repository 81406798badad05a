"""GET /api/schema: the API in OpenAPI's words, made once a process and the same for everybody."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator

from proxy.core.errors import READ_ONLY, BadRequest
from proxy.rest.api_view import ApiView


class _Paths(EndpointEnumerator):
    """The gateway's own, and those that a product has made of our views; of others it may say nothing."""

    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        ours = issubclass(getattr(callback, "cls", object), ApiView)
        return ours and bool(super().should_include_endpoint(path, callback))


class _Generator(SchemaGenerator):
    endpoint_inspector_cls = _Paths


@cache
def document() -> bytes:
    """The schema of every path, as JSON."""
    made = _Generator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return json.dumps(made).encode()


@csrf_exempt  # nothing is done
def schema(request: HttpRequest) -> HttpResponse:
    """For tools that make clients, and pages that show it."""
    if request.method not in {"GET", "HEAD"}:
        told = {"code": BadRequest.code, "message": READ_ONLY}
        return JsonResponse(told, status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
    return HttpResponse(document(), content_type="application/vnd.oai.openapi+json")
