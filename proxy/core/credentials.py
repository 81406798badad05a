"""Where a client puts its token, and what else of its handshake the gateway reads.

Three places: the header `Authorization: Bearer`, the query parameter `token`, the sub-protocols
`bearer, <token>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from proxy.core.errors import AuthenticationFailed, BadRequest

BEARER = "bearer"
TOKEN_PARAMETER = "token"  # noqa: S105  a name
MAX_QUERY_FIELDS = 64


@dataclass(frozen=True, slots=True)
class Query:
    """A query string, parsed: the first value of each parameter, and apart from them every token."""

    values: dict[str, str] = field(default_factory=dict)
    tokens: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, query_string: str) -> Query:
        """Raises BadRequest for more than 64 parameters."""
        try:
            pairs = parse_qsl(query_string, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:
            raise BadRequest("too many query parameters") from None
        values: dict[str, str] = {}
        for name, value in pairs:
            values.setdefault(name, value)
        values.pop(TOKEN_PARAMETER, None)
        return cls(values, tuple(value for name, value in pairs if name == TOKEN_PARAMETER))


@dataclass(frozen=True, slots=True)
class Subprotocols:
    """What a client offered: `others` may be offered onward, `bearer` is to be answered with `bearer`."""

    others: tuple[str, ...]
    bearer: bool = False
    token: str = field(default="", repr=False)

    @classmethod
    def split(cls, offered: Sequence[str]) -> Subprotocols:
        """The token is what follows `bearer`; no upstream should see either of the two."""
        if BEARER not in offered:
            return cls(tuple(offered))
        at = list(offered).index(BEARER)
        return cls((*offered[:at], *offered[at + 2 :]), True, "".join(offered[at + 1 : at + 2]))


def bearer_token(authorization: str) -> str:
    """The token of an `Authorization: Bearer` header; "" for any other scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == BEARER else ""


def one_token(presented: Iterable[str]) -> str:
    """The token that was presented, "" for none. The same one may come in several ways.

    Raises:
        AuthenticationFailed: `conflicting`; two different tokens leave open who is asking, so neither counts.
    """
    tokens = {token.strip() for token in presented} - {""}
    if len(tokens) > 1:
        raise AuthenticationFailed("conflicting")
    return tokens.pop() if tokens else ""
