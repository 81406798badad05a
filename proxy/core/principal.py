"""Who a client proved to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated identity of a link, from its token and nothing else.

    `expires_at` is Unix seconds, None for a token without `exp`. `claims` holds the token's payload;
    `token` the raw token, kept only so that it can be forwarded upstream, and never shown by repr().
    """

    user_id: str
    email: str = ""
    expires_at: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
