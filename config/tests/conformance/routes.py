"""A route beside the product's, that looks at nothing: none of the product's own is as bare."""

from __future__ import annotations

from experience import settings
from proxy.core.routes import Forward, Route, Upstream

TRANSPARENT = Route(
    name="transparent",
    paths=("transparent",),
    upstream=Upstream.of("transparent", settings.KB_SERVICE_URL, path="/transparent"),
    connection_limits=settings.EXPERIENCE_LIMITS,
    forward=Forward(query=("experience",)),
)
