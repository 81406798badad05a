"""Answering a handshake with no: as an HTTP status where the server can, as a close where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.core.errors import AuthenticationFailed, GatewayError
from proxy.core.refusals import denial_of, refusal_of
from proxy.socket.asgi_leg import Send, send_close

DENIAL_EXTENSION = "websocket.http.response"


async def refuse(
    scope: Mapping[str, Any], send: Send, error: GatewayError, *, unauthenticated_status: int = 401
) -> None:
    """Refuse the handshake of `scope` with `error`.

    With `?refuse=close` it is accepted and closed with the matching code, for clients that cannot see a
    status. Otherwise it is answered with status and JSON body where the server offers the denial response;
    where it does not (stock Daphne), every refusal is a plain 403.
    """
    if scope.get("query", {}).get("refuse") == "close":
        await send({"type": "websocket.accept", "subprotocol": scope.get("refusal_subprotocol")})
        await send_close(send, error.as_close())
    elif DENIAL_EXTENSION in (scope.get("extensions") or {}):
        status = status_of(error, unauthenticated_status=unauthenticated_status)
        await _deny(send, error, status, request_id=scope.get("request_id", ""))
    else:
        await send({"type": "websocket.close", "code": error.close.code, "reason": error.close.reason})


def status_of(error: GatewayError, *, unauthenticated_status: int) -> int:
    """The HTTP status of a refusal, on a route that chooses its own for failed authentication."""
    return unauthenticated_status if isinstance(error, AuthenticationFailed) else error.status


async def _deny(send: Send, error: GatewayError, status: int, *, request_id: str) -> None:
    refused = refusal_of(error, status=status)
    refused.headers.append((b"x-request-id", request_id.encode()))
    for event in denial_of(refused):
        await send(event)
