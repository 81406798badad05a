"""What operators and their load balancers ask over HTTP."""

from __future__ import annotations

import hmac
from weakref import WeakKeyDictionary

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from proxy import metrics
from proxy.readiness import Readiness
from proxy.runtime import Runtime, running_runtime

_UNHEALTHY_LAG_SECONDS = 5.0
_readiness: WeakKeyDictionary[Runtime, Readiness] = WeakKeyDictionary()


async def landing(request: HttpRequest) -> HttpResponse:
    """What stands at the root: where an operator goes from here. It tells nothing that needs a login."""
    return render(request, "landing.html")


async def health(_: HttpRequest) -> JsonResponse:
    """Is the process alive, and how late is its event loop? 503 when the loop is seconds late."""
    runtime = await running_runtime()
    lag_seconds = runtime.lag.seconds
    alive = lag_seconds < _UNHEALTHY_LAG_SECONDS
    body = {"alive": alive, "node": runtime.node_id, "loop_lag_ms": round(lag_seconds * 1000, 1)}
    return _answer(body, fine=alive)


async def ready(_: HttpRequest) -> JsonResponse:
    """Should clients be sent here? 503 when a part is away or the node drains; the body says which."""
    runtime = await running_runtime()
    if runtime not in _readiness:
        _readiness[runtime] = Readiness(runtime)
    parts = await _readiness[runtime].parts()
    return _answer(parts, fine=bool(parts["ready"]))


def _answer(body: dict[str, object], *, fine: bool) -> JsonResponse:
    response = JsonResponse(body, status=200 if fine else 503)
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log each 503 as an error
    return response


async def prometheus(request: HttpRequest) -> HttpResponse:
    """All metrics, of all workers. With METRICS_TOKEN set, only to who sends it as a bearer token."""
    expected = settings.METRICS_TOKEN
    given = request.headers.get("authorization", "")
    if expected and not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        return HttpResponse(
            "METRICS_TOKEN is needed as a bearer token\n", status=401, content_type="text/plain"
        )
    return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
