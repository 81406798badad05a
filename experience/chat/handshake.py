"""Whom the chat service lets in. Pure: a request and a way to verify tokens in, a visit out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from experience.chat.messages import MOST_ID_CHARACTERS
from proxy.api import (
    PROBE_USER_AGENT,
    AuthenticationFailed,
    BadRequest,
    Forbidden,
    NotFound,
    Principal,
    is_printable,
)

PATH = "/v1/chat/ws"

Verify = Callable[[str], Principal]


class NoParticipant(Forbidden):
    """The user takes no part in the conversation that the socket is to hear, or there is none."""

    code = "access_denied"
    message = "You take no part in this conversation."


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who came, and for which conversation; `only` None: all of the user's. `user_id` None: a probe."""

    user_id: str | None
    only: str | None = None


def admit(path: str, query_string: bytes, headers: Iterable[tuple[bytes, bytes]], *, verify: Verify) -> Visit:
    """The visit that a handshake asks for.

    A health check of the gateway needs no token: it is let in as nobody, who may ping and no more.

    Raises:
        NotFound: nothing is served at that path.
        AuthenticationFailed: no token, or one that is not valid here.
        BadRequest: the query cannot be read.
        NoParticipant: what is to be the id of a conversation cannot be one.
    """
    if path != PATH:
        raise NotFound
    try:
        query = parse_qs(query_string.decode(), max_num_fields=32)
    except ValueError:
        raise BadRequest from None
    named = {name: value.decode("latin-1") for name, value in headers}
    token = _token(query, named.get(b"authorization", ""))
    if not token and named.get(b"user-agent", "") == PROBE_USER_AGENT:
        return Visit(user_id=None)
    if not token:
        raise AuthenticationFailed
    user_id = verify(token).user_id
    only = query.get("conversation_id", [None])[0]
    if only is not None and not (is_printable(only) and len(only) <= MOST_ID_CHARACTERS):
        raise NoParticipant  # and no database is asked; by a 400 the gateway would have been meant
    return Visit(user_id=user_id, only=only)


def _token(query: dict[str, list[str]], authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else query.get("token", [""])[0]
