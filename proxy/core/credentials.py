"""Where a client puts its token, and what else of its handshake the gateway reads.

Four places: the header `Authorization: Bearer`, the query parameter `token`, the sub-protocols
`bearer, <token>`, or a bare token among them, known by its shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from proxy.core.errors import BadRequest, TokenRefused

BEARER = "bearer"
TOKEN_PARAMETER = "token"  # noqa: S105  a name
TICKET_PARAMETER = "ticket"
MAX_QUERY_FIELDS = 64
# A signed token in its compact form: three base64url parts, of which the first begins as `{"` does.
JWT = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """By what a route finds out who a client is.

    `token` is "" if it sent none; it is not to be kept, logged or said back. `query` holds the first value of
    each query parameter, `params` what the path captured; `client_address` is "" where there is none.
    """

    token: str = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    client_address: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """A query string, parsed: the first value of each parameter; apart from them every token and ticket."""

    values: dict[str, str] = field(default_factory=dict)
    tokens: tuple[str, ...] = field(default=(), repr=False)
    tickets: tuple[str, ...] = field(default=(), repr=False)

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
        tokens = tuple(value for name, value in pairs if name == TOKEN_PARAMETER)
        tickets = tuple(value for name, value in pairs if name == TICKET_PARAMETER and value)
        for name in (TOKEN_PARAMETER, TICKET_PARAMETER):
            values.pop(name, None)
        return cls(values, tokens, tickets)


@dataclass(frozen=True, slots=True)
class Subprotocols:
    """What a client offered: `others` may be offered onward, `bearer` is to be answered with `bearer`.

    The tokens go no further, neither to an upstream nor back to the client.
    """

    others: tuple[str, ...]
    bearer: bool = False
    tokens: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def split(cls, offered: Iterable[str]) -> Subprotocols:
        """A token is what follows `bearer`, and whatever looks like a JSON Web Token."""
        others, tokens, bearer = [], [], False
        words = iter(offered)
        for word in words:
            if word == BEARER:
                bearer = True
                tokens.append(next(words, ""))
            elif JWT.fullmatch(word):
                tokens.append(word)
            else:
                others.append(word)
        return cls(tuple(others), bearer, tuple(tokens))

    @property
    def for_refusal(self) -> str | None:
        """What to answer a client that is accepted only to be closed; None for nothing.

        A browser that offered some drops the socket, close code and all, unless one of them is chosen.
        """
        return BEARER if self.bearer else next(iter(self.others), None)


def bearer_token(authorization: str) -> str:
    """The token of an `Authorization: Bearer` header; "" for any other scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == BEARER else ""


def one_token(presented: Iterable[str]) -> str:
    """The token that was presented, "" for none. The same one may come in several ways.

    Raises TokenRefused for two different ones: they leave open who is asking, so neither counts.
    """
    tokens = {token.strip() for token in presented} - {""}
    if len(tokens) > 1:
        raise TokenRefused("conflicting")
    return tokens.pop() if tokens else ""
