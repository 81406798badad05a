"""A route: the path to a behaviour, declared in one place by the product."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlencode, urlsplit, urlunsplit

from proxy.core.principal import Principal

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class Overflow(StrEnum):
    """What happens to an event when the outbox of a slow client is full."""

    CLOSE = "close"
    DROP_OLDEST = "drop_oldest"


def upstream_url(base: str, *, path: str = "") -> str:
    """`base` as a WebSocket URL: http→ws, https→wss, with `path` behind the base's own path.

    Raises:
        ValueError: `base` is no http, https, ws or wss URL with a host, or carries a query or credentials.
    """
    parts = urlsplit(base)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"a service URL is like http://host:port; got {base!r}")
    _ = parts.port  # raises ValueError when it is no port number
    full_path = parts.path.rstrip("/") + "/" + path.lstrip("/")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, full_path, "", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of a link when its topics and its upstream request are worked out.

    `query` holds the first value of each query parameter, `params` what the path pattern captured.
    """

    connection_id: str
    principal: Principal
    query: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What of the client's handshake goes on to the upstream; what is not named here stops at the gateway.

    `query`: names of query parameters passed on; `token` is filled from wherever the client put its token.
    `identity`: also pass `user_id` as query, and X-User-Id as header.
    """

    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ("user-agent", "accept-language")
    identity: bool = False

    def query_string(self, subject: Subject) -> str:
        values = {name: subject.query[name] for name in self.query if name in subject.query}
        if "token" in self.query and subject.principal.token:
            values["token"] = subject.principal.token
        if self.identity:
            values["user_id"] = subject.principal.user_id
        return urlencode(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The services of a route: `members` are WebSocket URLs, without a query."""

    name: str
    members: tuple[str, ...]

    @classmethod
    def of(cls, name: str, *bases: str, path: str = "") -> Upstream:
        return cls(name=name, members=tuple(upstream_url(base, path=path) for base in bases))


def _no_topics(_: Subject) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path and how its links behave. Instances are declared once, at import of the product's routes.

    `paths` are Django path patterns without a leading slash. `topics` names what a link hears beside its own
    connection, its user and everyone. `control` switches the in-band control messages on. `required_query`
    must be present and not empty, or the handshake is refused with 400.
    """

    name: str
    paths: tuple[str, ...]
    upstream: Upstream
    forward: Forward = Forward()
    topics: Callable[[Subject], Iterable[str]] = _no_topics
    control: bool = False
    unauthenticated_status: int = 401
    required_query: tuple[str, ...] = ()
    overflow: Overflow = Overflow.CLOSE
