"""What is kept of a handshake that was refused."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from proxy.core.errors import GatewayError, TokenExpired
from proxy.core.human import one_line
from proxy.core.redaction import redacted
from proxy.core.refusal_records import RefusalRecord
from proxy.socket.scope import MAX_TEXT_CHARS, header


def refusal_record(
    scope: Mapping[str, Any], error: GatewayError, *, route: str, status: int
) -> RefusalRecord:
    """The record of a refusal with `error` now; `status` is what the client was told, or would have been."""
    principal = scope["principal"]
    known = error.was_of if principal is None and isinstance(error, TokenExpired) else principal
    return RefusalRecord(
        id=secrets.token_hex(16),
        refused_at=datetime.now(UTC),
        route=route,
        status=status,
        close_code=error.as_close().code,
        cause=error.cause,
        reason=one_line(redacted(str(error)), MAX_TEXT_CHARS),
        path=one_line(redacted(scope["path"]), MAX_TEXT_CHARS),
        user_id="" if known is None else known.user_id,
        email="" if known is None else known.email,
        is_known=principal is not None,
        client_address=scope["client_address"],
        user_agent=one_line(redacted(header(scope, b"user-agent")), MAX_TEXT_CHARS),
        request_id=scope["request_id"],
        upstream=error.upstream,
    )
