"""The gateway's server for an ASGI application that is no gateway: a service behind it, say."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy.core.errors import GatewayError
from proxy.core.limits import LinkLimits
from proxy.core.refusals import denial_of, refusal_of
from proxy.engine.background import end_for_sure
from proxy.server import listening
from proxy.server.options import Hooks, ServerOptions

Application = Callable[[Mapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


def serve_application(
    application: Application,
    *,
    listening_socket: socket.socket,
    hooks: Hooks,
    limits: LinkLimits | None = None,
    drain_seconds: float = 30.0,
) -> int:
    """Serve until SIGTERM or SIGINT, then drain; answers the exit status. For the main thread of a process.

    WebSockets have flow control both ways, closes with their codes and reasons, and bounds; refusals before
    the accept are ASGI's `websocket.http.response`.
    """
    listening.raise_file_limit()
    from proxy.server.server import GatewayServer  # makes the event loop

    server = GatewayServer(
        application,
        listening=[listening_socket],
        options=ServerOptions(
            hooks=hooks,
            limits=LinkLimits() if limits is None else limits,
            drain_seconds=drain_seconds,
        ),
    )
    status = server.run()
    end_for_sure(status)
    return status


async def deny(send: Callable[[dict[str, Any]], Awaitable[None]], error: GatewayError) -> None:
    """Refuse a handshake with the error's status, as JSON."""
    for event in denial_of(refusal_of(error)):
        await send(event)
