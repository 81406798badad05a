"""One handshake under way: what is asked, on which route, and the ASGI calls that answer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.core.routes import Route
from proxy.node import GatewayNode
from proxy.served import ServedRoute
from proxy.socket.asgi_leg import Receive, Send


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """From here to the accept. `scope` is as the middleware left it."""

    scope: dict[str, Any]
    receive: Receive
    send: Send
    served: ServedRoute
    node: GatewayNode

    @property
    def route(self) -> Route:
        return self.served.route
