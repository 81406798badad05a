"""Who a client proved to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MAX_USER_ID_CHARS = 255


def is_user_id(value: object) -> bool:
    """Whether `value` can name a user in records, topics and headers: printable text, 1 to 255 characters."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_USER_ID_CHARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated identity of a link, as its route has found out.

    `expires_at` is Unix seconds, None for a token without `exp`. `claims` holds the token's payload;
    `token` the raw token, kept only so that it can be forwarded upstream, and never shown by repr().
    """

    user_id: str
    email: str = ""
    expires_at: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
