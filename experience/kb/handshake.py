"""Whom the KB lets in, to sockets and actions. Pure: a query and a way to verify tokens in, a visit out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from experience.kb.world import WORLDS, World
from proxy.api import BadRequest, NotFound, Principal

SOCKET_PATH = "/ws/experience"
ACTIONS_PATH = "/api/experience/actions"
SUBPROTOCOL = "kb.v1"

Verify = Callable[[str], Principal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who came on this connection, and to which world."""

    connection_id: str
    user_id: str
    world: World


def admit(query_string: str, authorization: str, *, verify: Verify, connection_id: str) -> Visit:
    """The visit that the request asks for.

    `query_string` is as the client wrote it; `authorization` the header's value or "". The token is
    checked before the experience, so that only those who may enter learn which worlds there are.

    Raises:
        NotFound: no such experience.
        AuthenticationFailed: no token, or one that is not valid here.
        BadRequest: no experience is named.
    """
    try:
        query = parse_qs(query_string, max_num_fields=32)
    except ValueError:
        raise BadRequest from None
    principal = verify(_token(query, authorization))
    experience = query.get("experience", [""])[0]
    if not experience:
        raise BadRequest
    if experience not in WORLDS:
        raise NotFound
    return Visit(connection_id=connection_id, user_id=principal.user_id, world=WORLDS[experience])


def _token(query: dict[str, list[str]], authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else query.get("token", [""])[0]
