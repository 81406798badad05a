"""Who a client proved to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core.human import is_printable

_MAX_USER_ID_CHARS = 255
# The end of the year 9999, in Unix seconds. The milliseconds of any date since 1978 lie beyond it.
LAST_SECOND = 253_402_300_799


def is_user_id(value: object) -> bool:
    """Whether `value` can name a user in records, topics and headers: printable text, 1 to 255 characters."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_USER_ID_CHARS and is_printable(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated identity of a link, as its route has found out.

    `expires_at` is Unix seconds, None for a token without `exp`. `claims` holds the token's payload;
    `token` the raw token, kept only so that it can be forwarded upstream, and never shown by repr().

    Raises TypeError or ValueError for what is none of these: `email` and `token` are text.
    """

    user_id: str
    email: str = ""
    expires_at: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("email", "token"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"a principal's {name} is text, not {type(getattr(self, name)).__name__}")
        if not isinstance(self.expires_at, int | float | None):
            raise TypeError(f"expires_at is an int or a float, not {type(self.expires_at).__name__}")
        if self.expires_at is not None and not 0 <= self.expires_at <= LAST_SECOND:
            raise ValueError(f"expires_at is Unix seconds, or None for never; got {self.expires_at!r}")
