"""Paths of sockets to consumers."""

from __future__ import annotations

from channels.routing import URLRouter
from django.urls import path, re_path

from experience.routes import ROUTES
from proxy import registry
from proxy.socket.consumer import GatewayConsumer, NoSuchPath

registry.register(ROUTES)

websocket_application = URLRouter(
    [
        *(path(pattern, GatewayConsumer.as_asgi(route=route)) for route in ROUTES for pattern in route.paths),
        re_path(r"", NoSuchPath.as_asgi()),
    ]
)
