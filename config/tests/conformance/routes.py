"""Routes beside the product's: one that looks at nothing, and one that reads every message."""

from __future__ import annotations

from dataclasses import replace

from experience import settings
from proxy.core.policies import FORWARD, Policy, Verdict
from proxy.core.routes import Forward, Route, Upstream


class Reading(Policy):
    """Reads everything, and forwards it."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return FORWARD

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return FORWARD


TRANSPARENT = Route(
    name="transparent",
    paths=("transparent",),
    upstream=Upstream.of("transparent", settings.KB_SERVICE_URL, path="/transparent"),
    connection_limits=settings.EXPERIENCE_LIMITS,
    forward=Forward(query=("experience",)),
)
INSPECTED = replace(TRANSPARENT, name="inspected", paths=("inspected",), policy=lambda _: Reading())
ROUTES = (TRANSPARENT, INSPECTED)
