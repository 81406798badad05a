"""Routes that capture parts of their paths, before the service that a test puts at KB_SERVICE_URL."""

from __future__ import annotations

from experience import settings
from proxy.core.routes import ClientPath, Forward, Route, Upstream

FILLED = Route(
    name="filled",
    paths=("shops/<str:shop>/orders/<int:order>",),
    upstream=Upstream.of("filled", settings.KB_SERVICE_URL, path="/v1/{shop}/{order}/ws"),
)
NAMED = Route(
    name="named",
    paths=("named/<path:shop>",),
    upstream=Upstream.of("named", settings.KB_SERVICE_URL, path="/ws"),
    forward=Forward(any_query=True, params=("shop",), param_headers={"x-shop": "shop"}),
)
AS_ASKED = Route(
    name="as-asked",
    paths=("asked/<path:rest>",),
    upstream=Upstream.of("as-asked", settings.KB_SERVICE_URL),
    forward=Forward(path=ClientPath.FILLS),
)
REPLACED = Route(
    name="replaced",
    paths=("replaced/<path:rest>",),
    upstream=Upstream.of("replaced", settings.KB_SERVICE_URL, path="/ws"),
    forward=Forward(path=ClientPath.REPLACES),
)
ROUTES = (FILLED, NAMED, AS_ASKED, REPLACED)
