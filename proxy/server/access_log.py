"""The access log: one line a request, never a query string (tokens travel in them)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from proxy.core.addresses import Network, client_address
from proxy.server.handshake import UpgradeRequest

log = logging.getLogger("gateway.access")


def log_http(request: Any) -> None:
    """A finished `GatewayRequest`; the links log themselves."""
    log.info(
        "http request",
        extra={
            "method": request.method.decode("ascii", "replace"),
            "path": _path(request.uri),
            "status": request.code,
            "client_address": request.client_address,
            "seconds": round(request.duration(), 4),
            "bytes": request.sentLength,
        },
    )


def log_refused(request: UpgradeRequest, status: int, *, proxies: Sequence[Network]) -> None:
    """A handshake that the server itself refused; an application logs its own refusals."""
    log.info(
        "websocket refused",
        extra={
            "method": request.method,
            "path": _path(request.target),
            "status": status,
            "client_address": client_of(
                request.client[0] if request.client else None,
                forwarded_for=[value for name, value in request.headers if name == b"x-forwarded-for"],
                real_ip=[value for name, value in request.headers if name == b"x-real-ip"],
                proxies=proxies,
            ),
        },
    )


def _path(target: bytes) -> str:
    return target.partition(b"?")[0].decode("ascii", "backslashreplace")


def client_of(
    peer: str | None, *, forwarded_for: Iterable[bytes], real_ip: Iterable[bytes], proxies: Sequence[Network]
) -> str:
    """The client's address, seen through `proxies`, from the values of two headers; "" if nobody tells."""
    return client_address(
        peer,
        forwarded_for=(value.decode("latin-1") for value in forwarded_for),
        real_ip=next((value.decode("latin-1") for value in real_ip), None),
        proxies=proxies,
        trusts_unix=True,  # `serve` listens on a Unix socket for a proxy only
    )
