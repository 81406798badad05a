"""Which route serves a client that came by the path of another, while clients are being moved."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from proxy.core.answers import wrong
from proxy.core.errors import GatewayError
from proxy.core.hook_failures import calling_hook
from proxy.core.principal import Principal
from proxy.core.routes import Route
from proxy.core.tickets import served_by
from proxy.node import GatewayNode

logger = logging.getLogger(__name__)


def route_taken(node: GatewayNode, route: Route, scope: Mapping[str, Any]) -> Route:
    """The route that `route` names for the client, if this node serves it; else `route` itself.

    A ticket says what `route` named when it was issued.
    """
    if route.divert is None:
        return route
    if scope["tickets"]:
        name = served_by(scope["tickets"][0])
    else:
        name = diverted_to(route, node.verifier.claimed(scope["token"]))
    served = node.served.get(name)
    return route if served is None else served.route


def diverted_to(route: Route, claimed: Principal | None) -> str:
    """The route that `route` names for that client; "" for none.

    A hook that fails costs nobody the connection: who is not moved is served as before.
    """
    if route.divert is None or claimed is None:
        return ""
    try:
        with calling_hook("divert"):
            name: object = route.divert(claimed)
            if not isinstance(name, str):
                raise wrong(name, "divert answers the name of a route, or a text that is none")
            return name
    except GatewayError as error:
        logger.error("a route's hook failed", extra={"route": route.name, "hook": "divert"}, exc_info=error)
        return ""
