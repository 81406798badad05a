"""Paths of sockets to consumers."""

from __future__ import annotations

from channels.routing import URLRouter
from django.urls import path, re_path

from proxy.registry import routes
from proxy.socket.consumer import GatewayConsumer, NoSuchPath

websocket_application = URLRouter(
    [
        *(
            path(pattern, GatewayConsumer.as_asgi(route=route))
            for route in routes()
            for pattern in route.paths
        ),
        re_path(r"", NoSuchPath.as_asgi()),
    ]
)
