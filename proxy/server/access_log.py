"""The access log: one line a request, never a query string (tokens travel in them)."""

from __future__ import annotations

import logging
from typing import Any

from proxy.server.handshake import UpgradeRequest

log = logging.getLogger("gateway.access")


def log_http(protocol: str, action: str, details: dict[str, Any]) -> None:
    """Daphne's `action_logger`: a line for each finished HTTP request; the links log themselves."""
    if (protocol, action) != ("http", "complete"):
        return
    log.info(
        "http request",
        extra={
            "method": details["method"],
            "path": details["path"].partition("?")[0],
            "status": details["status"],
            "client": details["client"],
            "seconds": round(details["time_taken"], 4),
            "bytes": details["size"],
        },
    )


def log_refused(request: UpgradeRequest, status: int) -> None:
    """A handshake that the server itself refused; an application logs its own refusals."""
    log.info(
        "websocket refused",
        extra={
            "method": request.method,
            "path": request.path.decode("ascii", "backslashreplace"),
            "status": status,
            "client": ":".join(map(str, request.client)) if request.client else None,
        },
    )
