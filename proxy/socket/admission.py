"""May this link start?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from proxy.core.errors import Disabled, Draining, Overloaded
from proxy.core.routes import Route
from proxy.engine.admission.shared_caps import Seat
from proxy.node import GatewayNode


async def admit(scope: Mapping[str, Any], node: GatewayNode, route: Route, *, link_id: str) -> Seat:
    """The lease of a link that may go on to the dial; to be released when the link has ended.

    Raises:
        GatewayError: why not. What costs least is asked first; only the last asks Redis, once.
    """
    address, limits = scope["client_address"], route.connection_limits
    node.admission.check_rate(limits, address)
    principal = scope["principal"]
    await node.rules.ready()
    node.rules.check(user_id=principal.user_id if principal else "", address=address)
    if scope["refusal"] is not None:
        raise scope["refusal"]
    if not settings.WEBSOCKET_ENABLED:
        raise Disabled("WEBSOCKET_ENABLED is false")
    if node.draining:
        raise Draining("this node drains")
    if len(node.links) >= settings.MAX_CONNECTIONS:
        raise Overloaded("MAX_CONNECTIONS reached")
    return await node.admission.admit(link_id, limits, address=address, user_id=principal.user_id)
