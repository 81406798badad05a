"""What is logged of a handshake: one line, let in or not, with what joins it to all others."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from proxy.core.errors import AuthenticationFailed, Disabled, Draining, GatewayError, ServiceRefused
from proxy.core.human import one_line
from proxy.core.records import ConnectionRecord
from proxy.core.topic_rules import ClosedForMaintenance, Full
from proxy.socket.scope import header
from proxy.socket.tracing import trace_fields

logger = logging.getLogger(__name__)

MOST_CHARS = 200
# Refusals that somebody asked for: nothing is wrong with the gateway.
_ASKED_FOR = (Draining, Disabled, ClosedForMaintenance, Full)
# Tokens and tickets that every client has at some time or other; all other bad ones deserve a look.
_ORDINARY = frozenset({"missing", "expired", "ticket_gone"})


def log_opened(scope: Mapping[str, Any], record: ConnectionRecord, *, started: float) -> None:
    """The link is about to be accepted. `started` is on time.perf_counter()'s clock."""
    own = {"connection_id": record.id, "upstream": record.upstream, "topic": one_line(record.topic)}
    logger.info("link opened", extra=_fields(scope, route=record.route, started=started) | own)


def log_refused(
    scope: Mapping[str, Any], error: GatewayError, *, route: str, status: int, started: float
) -> None:
    """`status` is what the client was told, or would have been if it had not asked for a close."""
    fields = _fields(scope, route=route, started=started)
    fields |= {"upstream": error.upstream} if error.upstream else {}
    fields |= {"status": status, "outcome": error.outcome, "why": one_line(str(error))}
    logger.log(_level(error), "handshake refused", extra=fields)


def log_left(scope: Mapping[str, Any], *, route: str, started: float) -> None:
    logger.info("client left during its handshake", extra=_fields(scope, route=route, started=started))


def _fields(scope: Mapping[str, Any], *, route: str, started: float) -> dict[str, Any]:
    principal = scope["principal"]
    return {
        "request_id": scope["request_id"],
        "route": route,
        "path": one_line(scope["path"], MOST_CHARS),
        "client_address": scope["client_address"],
        "user_agent": one_line(header(scope, b"user-agent"), MOST_CHARS),
        "user_id": principal.user_id if principal is not None else None,
        "seconds": round(time.perf_counter() - started, 4),
        **trace_fields(scope),
    }


def _level(error: GatewayError) -> int:
    """WARNING where the cause is ours, or somebody comes with a token that was never good here."""
    if isinstance(error, AuthenticationFailed):
        return logging.INFO if error.reason in _ORDINARY else logging.WARNING
    if isinstance(error, ServiceRefused) and error.status == AuthenticationFailed.status:
        return logging.WARNING  # good here, bad there: they do not agree on keys or claims
    return logging.WARNING if error.status >= 500 and not isinstance(error, _ASKED_FOR) else logging.INFO
