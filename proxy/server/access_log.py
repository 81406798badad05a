"""The access log: one line a request, never a query string (tokens travel in them); and what is kept of
handshakes that the server itself refused.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from proxy.core.addresses import Network, client_address
from proxy.core.errors import GatewayError
from proxy.core.human import one_line
from proxy.core.redaction import redacted
from proxy.core.refusal_records import RefusalRecord
from proxy.metrics import NO_ROUTE
from proxy.server.handshake import UpgradeRequest

log = logging.getLogger("gateway.access")

_MOST_CHARS = 255  # what a column holds


def log_http(request: Any) -> None:
    """A finished `GatewayRequest`; the links log themselves."""
    told = request.responseHeaders.getRawHeaders(b"x-request-id", [])
    named = {"request_id": told[0].decode("ascii", "replace")} if told else {}
    log.info(
        "http request",
        extra={
            "method": request.method.decode("ascii", "replace"),
            "path": _path(request.uri),
            "status": request.code,
            "client_address": request.client_address,
            "seconds": round(request.duration(), 4),
            "bytes": request.sentLength,
            **named,
        },
    )


def log_refused(request: UpgradeRequest, record: RefusalRecord) -> None:
    """A handshake that the server itself refused; an application logs its own refusals."""
    log.info(
        "websocket refused",
        extra={
            "method": request.method,
            "path": _path(request.target),
            "status": record.status,
            "client_address": record.client_address,
            "request_id": record.request_id,
        },
    )


def refusal_record(
    request: UpgradeRequest, error: GatewayError, *, proxies: Sequence[Network]
) -> RefusalRecord:
    """What is kept of a handshake that the server itself refused now: nobody has been asked who it is."""
    user_agent = b" ".join(request.values_of(b"user-agent")).decode("latin-1")
    return RefusalRecord(
        id=secrets.token_hex(16),
        refused_at=datetime.now(UTC),
        route=NO_ROUTE,
        status=error.status,
        close_code=error.as_close().code,
        cause=error.cause,
        reason=one_line(redacted(str(error)), _MOST_CHARS),
        path=one_line(redacted(_path(request.target)), _MOST_CHARS),
        request_id=secrets.token_hex(16),
        client_address=client_of(
            request.client[0] if request.client else None,
            forwarded_for=request.values_of(b"x-forwarded-for"),
            real_ip=request.values_of(b"x-real-ip"),
            proxies=proxies,
        ),
        user_agent=one_line(redacted(user_agent), _MOST_CHARS),
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
