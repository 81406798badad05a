"""What is answered to who is refused: built here alone, whichever of our servers, or anybody's, sends it."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, NamedTuple

from proxy.core.errors import GatewayError
from proxy.core.wire.control_messages import encode

Header = tuple[bytes, bytes]


class RefusalAnswer(NamedTuple):
    """An HTTP answer without what frames it: no Content-Length, Connection or Date. Names in lower case."""

    status: int
    headers: list[Header]
    body: bytes


def refusal_of(error: GatewayError, *, status: int | None = None) -> RefusalAnswer:
    """What `error` is as an answer; `status` for a route that has one of its own for it."""
    status = error.status if status is None else status
    after = error.retry_after_seconds  # and a 405 is a handshake's, which only a GET can be
    return refusal(status, retry_after_seconds=after, allow=b"GET", **error.fields())


def denial_of(refused: RefusalAnswer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an ASGI application sends to refuse a handshake with it (`websocket.http.response`)."""
    status, headers, body = refused
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    return (
        {"type": "websocket.http.response.start", "status": status, "headers": headers},
        {"type": "websocket.http.response.body", "body": body},
    )


def refusal(
    status: int, *, retry_after_seconds: float | None = None, allow: bytes = b"GET, HEAD", **told: Any
) -> RefusalAnswer:
    """An answer that tells `told`, `code` and `message` among it, as JSON; `allow` is for a 405."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", allow))
    if status == HTTPStatus.UPGRADE_REQUIRED:
        headers += (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")
    if retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(retry_after_seconds)))
    return RefusalAnswer(status, headers, encode(**told).encode())
