"""Answers to a client's in-band control messages (DESIGN: control messages)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from proxy.core.errors import AuthenticationFailed, KeysUnavailable
from proxy.core.principal import Principal
from proxy.core.wire.control_messages import REFRESH, encode, encode_error, parse_control
from proxy.engine.links.link import Link

Verify = Callable[[str], Principal]


def answer(link: Link, text: str, *, verify: Verify | None, extend: Callable[[Principal], None]) -> str:
    """The gateway's answer to one control message of `link`'s client; never raises for bad input.

    `extend` is called with the new principal once a refresh is granted; `verify` None: there is none.
    """
    try:
        message = parse_control(text)
    except ValueError:
        return encode_error("invalid_control", "A control message is a JSON object of at most 16 KiB.")
    if message["type"] != REFRESH or verify is None:
        return encode_error("unknown_control", "The gateway knows no such control message.")
    return _refresh(link, message.get("token"), verify=verify, extend=extend)


def _refresh(link: Link, token: object, *, verify: Verify, extend: Callable[[Principal], None]) -> str:
    if not isinstance(token, str):
        return encode_error("invalid_token", "A refresh carries a token.")
    try:
        principal = verify(token)
    except AuthenticationFailed as error:
        return encode_error("invalid_token", error.message)
    except KeysUnavailable as error:  # nobody can tell; the link lives on its old token, and may ask again
        return encode_error(error.code, error.message)
    if principal.user_id != link.record.user_id:
        return encode_error("invalid_token", "The token belongs to somebody else.")
    extend(principal)
    return encode(type="gateway.refreshed", expires_at=isoformat(principal.expires_at))


def isoformat(unix_seconds: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC; None stays None."""
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC).isoformat()


def seconds_left(principal: Principal, *, grace_seconds: float) -> float | None:
    """How long a link may still live on this principal's token; None if its token never expires."""
    if principal.expires_at is None:
        return None
    return principal.expires_at + grace_seconds - time.time()
