"""What a handshake says, worked out from the ASGI scope: the subject, the upstream request, the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from proxy.core.answers import several_texts, wrong
from proxy.core.captures import stays_in_place
from proxy.core.errors import BadRequest, GatewayError, ServiceRefused, TokenExpired
from proxy.core.hook_failures import calling_hook
from proxy.core.human import one_line
from proxy.core.policies import Policy
from proxy.core.principal import Principal
from proxy.core.records import ConnectionRecord
from proxy.core.redaction import redacted
from proxy.core.routes import SINCE, ClientPath, Forward, Route, Subject
from proxy.core.topics import EVERYONE, LINK_KINDS, check_topic, connection_topic, user_topic
from proxy.engine.pools.dial import DialRequest
from proxy.socket.control import seconds_left
from proxy.socket.middleware import header_values, told_by_proxy
from proxy.socket.tracing import trace_of

Scope = Mapping[str, Any]
# A service's clock may be this far ahead of ours; and what our leeway lets in, it need not take.
SERVICE_AHEAD_SECONDS = 5.0
MAX_TEXT_CHARS = 255  # what a column holds; the rest would stay in memory with the link
_OF_TRACES = ("traceparent", "tracestate")
_PATH_SAFE = "!$&'()*+,/:=@~"  # no semicolon: readers of URLs, our own library too, take off what follows
_HEADER_SAFE = "!#$&'()*+,-./:;=?@[]^_`{|}~"


def header(scope: Scope, name: bytes) -> str:
    """The first header of that (lower-case) name, or ""."""
    return next(header_values(scope, name), "")


def captures_of(scope: Scope) -> dict[str, str]:
    """What the path captured, as text, whatever Django's converters made of it."""
    return {name: str(value) for name, value in scope["url_route"]["kwargs"].items()}


def subject_of(scope: Scope, route: Route, *, connection_id: str) -> Subject:
    """Raises BadRequest when a query parameter that the route needs is missing or unusable."""
    query = scope["query"]
    for name in route.required_query:
        if not 0 < len(query.get(name, "")) <= 128:
            raise BadRequest(f"query parameter {name!r} is missing or longer than 128 characters")
    return Subject(
        connection_id=connection_id,
        principal=scope["principal"],
        query=query,
        params=captures_of(scope),
        route=route.name,
        subprotocols=scope["offered_subprotocols"],
    )


def topics_of(route: Route, subject: Subject) -> tuple[str, ...]:
    """All topics that the link hears: itself, its user, everyone, and the route's own.

    Raises GatewayError: the route's own code did, or failed, or names what is no topic of its kinds.
    """
    own = (connection_topic(subject.connection_id), user_topic(subject.principal.user_id), EVERYONE)
    with calling_hook("topics"):
        kinds = (*LINK_KINDS, *route.topic_kinds)
        named = several_texts(route.topics(subject))
        return tuple(dict.fromkeys((*own, *(check_topic(topic, kinds) for topic in named))))


def policy_of(route: Route, subject: Subject) -> Policy | None:
    """The policy of one link; None where the route has none.

    Raises GatewayError: the route's own code did, or failed, or made something else.
    """
    if route.policy is None:
        return None
    with calling_hook("policy"):
        policy = route.policy(subject)
        if not isinstance(policy, Policy):
            raise wrong(policy, "policy answers a Policy")
    return policy


def dial_request(scope: Scope, route: Route, subject: Subject, *, extensions: str | None) -> DialRequest:
    """What the upstream is asked: only what the route's Forward names, plus the request id.

    Raises BadRequest: the client says what cannot be passed on.
    """
    forward = route.forward
    if route.histories and SINCE not in forward.query:  # it is for the gateway
        query = {name: value for name, value in subject.query.items() if name != SINCE}
        subject = replace(subject, query=query)
    with calling_hook("forward"):
        query_string = forward.query_string(subject)
    try:
        return DialRequest(
            path="" if forward.path is ClientPath.STOPS else _clients_path(scope),
            query=query_string,
            headers=tuple(_headers(scope, forward, subject)),
            subprotocols=scope["offered_subprotocols"],
            extensions=extensions,
            replaces_path=forward.path is ClientPath.REPLACES,
            captures=subject.params,
        )
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _headers(scope: Scope, forward: Forward, subject: Subject) -> Iterator[tuple[str, str]]:
    trace = trace_of(scope)
    for name in forward.headers:
        if (value := header(scope, name.encode())) and (trace is None or name.lower() not in _OF_TRACES):
            yield name, value
    yield "x-request-id", scope["request_id"]
    if trace is not None:
        yield "traceparent", trace.traceparent
    for name, param in forward.param_headers.items():
        yield name, _as_header(subject.params[param])
    if forward.identity:
        yield from identity_headers(scope, subject)


def _clients_path(scope: Scope) -> str:
    """The path that the client asked for. Raises ValueError for one that leads elsewhere than it says."""
    if not stays_in_place(scope["path"]):
        raise ValueError("a part of the path is . or ..")
    return quote(scope["path"], safe=_PATH_SAFE)


def _as_header(value: str) -> str:
    """Plain ASCII stays as it is; all else, line breaks included, is percent-encoded."""
    return quote(value, safe=_HEADER_SAFE)


def identity_headers(scope: Scope, subject: Subject) -> list[tuple[str, str]]:
    """Who the client is and where it came in, as the upstream may believe it.

    A user id that is not plain ASCII is percent-encoded. Scheme and host are those that a trusted proxy in
    front names and `middleware.Head` let through, else those of the handshake itself.
    """
    proto = told_by_proxy(scope, b"x-forwarded-proto")
    host = told_by_proxy(scope, b"x-forwarded-host")
    secure = scope.get("scheme") == "wss"
    named = [
        ("x-user-id", _as_header(subject.principal.user_id)),
        ("x-forwarded-for", scope["client_address"]),
        ("x-forwarded-proto", proto or ("https" if secure else "http")),
        ("x-forwarded-host", host or header(scope, b"host")),
    ]
    return [(name, value) for name, value in named if value]


def refusal_of(refused: ServiceRefused, principal: Principal) -> GatewayError:
    """What a service's refusal means: one that fits the end of the token asks for a fresh one."""
    left_seconds = seconds_left(principal, grace_seconds=0.0)
    if refused.status != TokenExpired.status or left_seconds is None or left_seconds > SERVICE_AHEAD_SECONDS:
        return refused
    return TokenExpired(f"{refused}, as the token expires")


def record_of(
    scope: Scope, route: Route, subject: Subject, *, topics: Iterable[str], upstream: str
) -> ConnectionRecord:
    """The record of a link to the member `upstream`, opened now, that hears `topics`."""
    kinds = {kind.name for kind in route.topic_kinds}
    own = (topic for topic in topics if topic.partition(":")[0] in kinds)
    return ConnectionRecord(
        id=subject.connection_id,
        route=route.name,
        opened_at=datetime.now(UTC),
        path=one_line(redacted(scope["path"]), MAX_TEXT_CHARS),
        topic=redacted(next(own, "")),
        user_id=subject.principal.user_id,
        email=subject.principal.email,
        client_address=scope["client_address"],
        user_agent=one_line(redacted(header(scope, b"user-agent")), MAX_TEXT_CHARS),
        request_id=scope["request_id"],
        upstream=upstream,
    )
