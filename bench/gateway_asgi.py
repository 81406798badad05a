"""The gateway with an inspected twin of the game route, `/ws/inspected`.

Its policy does what the cheapest useful one would: it parses each message, both ways, and lets it pass.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from config.asgi import http_application  # first: it sets Django up  # isort: skip

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from bench.inspected import INSPECTED
from proxy.core.closes import Close
from proxy.core.verdicts import FORWARD, Direction, Verdict
from proxy.socket.consumer import GatewayConsumer
from proxy.socket.middleware import gateway_middleware
from proxy.socket.ways import SPLICE_EXTENSION

INVALID = Verdict(forward=False, close=Close(1008, "invalid data"))
Application = Callable[..., Awaitable[Any]]


def policy(_: Direction, __: int, payload: bytes) -> Verdict:
    try:
        fields = json.loads(payload)
    except ValueError:
        return INVALID
    return FORWARD if isinstance(fields, dict) else INVALID


def inspecting(application: Application) -> Application:
    """`application`, with the policy in whatever splice it asks for as it accepts."""

    async def inspected(scope: Any, receive: Any, send: Any) -> Any:
        async def send_with_policy(message: Any) -> None:
            if SPLICE_EXTENSION in message:
                message[SPLICE_EXTENSION].inspect = policy
            await send(message)

        return await application(scope, receive, send_with_policy)

    return inspected


application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": gateway_middleware(
            URLRouter([path("ws/inspected", inspecting(GatewayConsumer.as_asgi(route=INSPECTED)))])
        ),
    }
)
