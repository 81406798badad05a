"""Paths of sockets to consumers."""

from __future__ import annotations

from collections.abc import Awaitable

from channels.routing import URLRouter
from django.urls import path, re_path

from proxy.registry import served
from proxy.socket.consumer import GatewayConsumer, NoSuchPath
from proxy.socket.middleware import Receive, Scope, Send

_no_such_path = NoSuchPath.as_asgi()
_router = URLRouter(
    [
        *(
            path(pattern, GatewayConsumer.as_asgi(route=route))
            for route in served()
            for pattern in route.paths
        ),
        re_path(r"", _no_such_path),
    ]
)


def websocket_application(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """The route's consumer. Channels strips every slash at the start, but `//ws` is not `/ws`."""
    app = _no_such_path if scope["path"].startswith("//") else _router
    answering: Awaitable[None] = app(scope, receive, send)
    return answering
