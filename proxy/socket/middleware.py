"""What every WebSocket handshake passes first: request id, client address, head, origin, token.

Plain ASGI. Each `__call__` is no coroutine function but hands back the inner application's coroutine, so that
an idle link keeps no frame of ours alive. The scope is written in place, since it belongs to this one
connection and each copy would live as long as the link does. None of them answers a refusal: they leave the
first failure in `scope["refusal"]`, because only the consumer knows what status its route gives.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from proxy.core.addresses import client_address, is_trusted, parse_address
from proxy.core.credentials import Query, Subprotocols, bearer_token, one_token
from proxy.core.errors import GatewayError, HostRefused, MalformedHead, MalformedPath, OriginRefused
from proxy.core.heads import problem_of_head
from proxy.core.human import one_line
from proxy.core.origins import is_origin_allowed

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)
_SCHEMES = {"", "http", "https", "ws", "wss"}
_UNREADABLE = "\ufffd"  # what servers decode bytes to that are no text; a name that holds it is none, either
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def header_values(scope: Mapping[str, Any], name: bytes) -> Iterator[str]:
    """The values of every header `name` (lower case), in order of arrival."""
    return (value.decode("latin-1") for key, value in scope.get("headers", ()) if key == name)


def peer_address(scope: Mapping[str, Any]) -> str | None:
    """Who holds the other end of the TCP connection; None on a Unix socket or in a test."""
    client = scope.get("client")
    return client[0] if client else None


def is_peer_trusted(scope: Mapping[str, Any]) -> bool:
    """Whether the other end of the TCP connection, or of the Unix socket, is one of our own proxies."""
    address = parse_address(peer_address(scope) or "")
    return settings.TRUSTS_UNIX_SOCKET if address is None else is_trusted(address, settings.TRUSTED_PROXIES)


def told_by_proxy(scope: Mapping[str, Any], name: bytes) -> str:
    """What a trusted proxy says in the header `name`, the first of several; "" if it does not."""
    told = ",".join(header_values(scope, name)).partition(",")[0].strip(" \t")
    return told if told and is_peer_trusted(scope) else ""


def refuse(scope: Scope, error: GatewayError) -> None:
    """Leave `error` for the consumer to answer, unless an earlier one is already there."""
    if scope.get("refusal") is None:
        scope["refusal"] = error


class Wrapper:
    """An ASGI application that looks at a connection's scope, then steps aside."""

    scope_types: tuple[str, ...] = ("websocket",)
    # asgiref would otherwise take what is not a coroutine function for an application of ASGI 2.
    _asgi_single_callable = True

    def __init__(self, app: Application) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in self.scope_types:
            self.look(scope)
        return self.app(scope, receive, send)

    def look(self, scope: Scope) -> None:
        raise NotImplementedError


class RequestId(Wrapper):
    """Sets `scope["request_id"]`: a trusted proxy's X-Request-Id, else a new one."""

    scope_types = ("websocket", "http")

    def look(self, scope: Scope) -> None:
        given = next(header_values(scope, b"x-request-id"), "")
        if given and _REQUEST_ID.fullmatch(given) and is_peer_trusted(scope):
            scope["request_id"] = given
        else:
            scope["request_id"] = secrets.token_hex(16)


class ClientAddress(Wrapper):
    """Sets `scope["client_address"]`, "" where there is none; only TRUSTED_PROXIES are seen through."""

    scope_types = ("websocket", "http")

    def look(self, scope: Scope) -> None:
        scope["client_address"] = client_address(
            peer_address(scope),
            forwarded_for=header_values(scope, b"x-forwarded-for"),
            real_ip=next(header_values(scope, b"x-real-ip"), None),
            proxies=settings.TRUSTED_PROXIES,
            trusts_unix=settings.TRUSTS_UNIX_SOCKET,
        )
        if not scope["client_address"] and scope["type"] == "websocket":
            _warn_of_no_address()


@cache
def _warn_of_no_address() -> None:
    """Once a process: it is the deployment that lacks something, not the client."""
    logger.warning("clients have no address, so that no cap, rate or block by address holds for them")


class Head(Wrapper):
    """Refuses a head or a path that is not clean, and a Host that HTTP would refuse, too.

    Without the latter a page could have its own name resolve to the gateway's address, and pass for one of
    its own pages (DNS rebinding). What a trusted proxy says of host and scheme goes on to services, and may
    be what a client has told it, so it is judged likewise.
    """

    def look(self, scope: Scope) -> None:
        problem = problem_of_head(scope.get("headers", ()))
        if problem is None and told_by_proxy(scope, b"x-forwarded-proto").lower() not in _SCHEMES:
            problem = "X-Forwarded-Proto is no scheme"
        if problem is not None:
            scope["subprotocols"] = []  # none of them may be echoed
            refuse(scope, MalformedHead(problem))
            return
        if _UNREADABLE in scope.get("path", ""):
            refuse(scope, MalformedPath("not UTF-8"))
        host, told = list(header_values(scope, b"host")), told_by_proxy(scope, b"x-forwarded-host")
        if not _is_host_allowed(host):
            refuse(scope, _host_refused("Host", ", ".join(host)))
        elif told and not _is_host_allowed([told]):
            refuse(scope, _host_refused("X-Forwarded-Host", told))


def _host_refused(header: str, value: str) -> HostRefused:
    return HostRefused(f"{header}, not one of ALLOWED_HOSTS: {one_line(value)!r}")


def _is_host_allowed(hosts: list[str]) -> bool:
    """Exactly one, well-formed and allowed, as Django's `get_host` judges it."""
    if len(hosts) != 1:
        return False
    domain, _ = split_domain_port(hosts[0])
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


class Origin(Wrapper):
    """Refuses pages of other sites that ALLOWED_ORIGINS does not name; native clients send no Origin.

    With DEBUG, pages of this machine are let in as well: a development server has a port of its own.
    """

    def look(self, scope: Scope) -> None:
        host = next(header_values(scope, b"host"), "")
        for origin in header_values(scope, b"origin"):
            allowed = settings.ALLOWED_ORIGINS
            if not is_origin_allowed(origin, host=host, allowed=allowed, loopback=settings.DEBUG):
                refuse(scope, OriginRefused(f"origin {one_line(origin)!r} at host {one_line(host)!r}"))
                return


class TokenPlaces(Wrapper):
    """Takes the token out of wherever the client put it: `scope["token"]`, "" for none, not verified yet.

    Also sets `scope["tickets"]` (those in the query, likewise), `scope["principal"]` (None until the route
    has found out), `scope["query"]` (first value of each parameter, neither token nor ticket),
    `scope["offered_subprotocols"]`, `scope["bearer_subprotocol"]` and `scope["refusal_subprotocol"]` (see
    Subprotocols). The raw query string and `scope["subprotocols"]` stay, as ASGI wants them, and are not to
    be logged.
    """

    def look(self, scope: Scope) -> None:
        subprotocols = Subprotocols.split(scope.get("subprotocols") or ())
        scope["offered_subprotocols"] = subprotocols.others
        scope["bearer_subprotocol"] = subprotocols.bearer
        scope["refusal_subprotocol"] = subprotocols.for_refusal
        scope["principal"], scope["query"], scope["token"], scope["tickets"] = None, {}, "", ()
        scope.setdefault("refusal", None)
        try:
            query = Query.parse(scope.get("query_string", b"").decode("latin-1"))
            scope["query"], scope["tickets"] = query.values, query.tickets
            headers = map(bearer_token, header_values(scope, b"authorization"))
            scope["token"] = one_token((*headers, *query.tokens, *subprotocols.tokens))
        except GatewayError as error:
            # The scope lives as long as the answer does; a traceback would keep the token's frames with it.
            refuse(scope, error.with_traceback(None))


def gateway_middleware(app: Application) -> Application:
    """`app` behind all of them, in order: request id, client address, head, origin, token."""
    return RequestId(ClientAddress(Head(Origin(TokenPlaces(app)))))
