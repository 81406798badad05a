"""A route: the path to a behaviour, declared in one place by the product."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlencode, urlsplit, urlunsplit

from proxy.core.captures import blanks_of, captured_by
from proxy.core.credentials import TICKET_PARAMETER, TOKEN_PARAMETER, Credentials
from proxy.core.farewells import Farewell
from proxy.core.history import History
from proxy.core.legs import Leg
from proxy.core.limits import NODE_BOUNDS, UNLIMITED, ConnectionLimits, LinkBounds, MessageLimits
from proxy.core.policies import LinkLog, Policy
from proxy.core.pools.balancing import PolicyName
from proxy.core.pools.breaker import BreakerLimits
from proxy.core.pools.health import Probe
from proxy.core.principal import Principal
from proxy.core.topics import TopicKind

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class Overflow(StrEnum):
    """What happens to an event when the outbox of a slow client is full."""

    CLOSE = "close"
    DROP_OLDEST = "drop_oldest"


class Resume(StrEnum):
    """What happens to a link whose member is lost: closed (1011), or dialled on to another member."""

    CLOSE = "close"
    RECONNECT = "reconnect"


def _several(of: object, *fields: str) -> None:
    """ValueError for a text where several are to stand: `("ws")` is one, and has letters for members."""
    for name in fields:
        value = getattr(of, name)
        if isinstance(value, str):
            raise ValueError(f"{name} of {type(of).__name__} is a tuple, such as ({value!r},); got {value!r}")


_NO_SERVICE_URL = (
    "a service URL is like ws://host:port/path (or wss, http, https), without user, password and query; "
    "{name} of what a route's path captures may stand in its path only"
)


def upstream_url(base: str, *, path: str = "") -> str:
    """`base` as a WebSocket URL: http→ws, https→wss, with `path` behind the base's own, unless that ends so.

    Raises ValueError, which does not repeat it, for one with a query, credentials, no host or another scheme.
    """
    try:
        parts = urlsplit(base)
        _ = parts.port  # is it a number?
    except ValueError:  # whose text may have a part of a password
        raise ValueError(_NO_SERVICE_URL) from None
    if (
        parts.scheme not in _SCHEMES
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or blanks_of(parts.netloc)
    ):
        raise ValueError(_NO_SERVICE_URL)
    full_path = parts.path or "/"
    if path and not full_path.endswith("/" + path.lstrip("/")):
        full_path = full_path.rstrip("/") + "/" + path.lstrip("/")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, full_path, "", ""))


def own_path(member_url: str) -> str:
    """The path that a member was declared with; "" for a bare origin."""
    path = urlsplit(member_url).path
    return "" if path == "/" else path


def at_path(member_url: str, path: str) -> str:
    """`path` (a query may follow) at the member's origin, in place of its own."""
    parts = urlsplit(member_url)
    return f"{parts.scheme}://{parts.netloc}{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of a link when its topics, its policy and its upstream request are worked out.

    `route` is the route's name. `query` holds the first value of each query parameter, `params` what the
    path pattern captured, as text. `subprotocols` are those that the client offers. Not to be kept beyond
    that: it may hold the client's token.
    """

    connection_id: str
    principal: Principal
    query: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    subprotocols: tuple[str, ...] = ()

    @property
    def log(self) -> LinkLog:
        """A logger whose lines name the link; to be kept by whoever has something to say of it later."""
        names = {"route": self.route, "connection_id": self.connection_id, "user_id": self.principal.user_id}
        return LinkLog(names)


class ClientPath(StrEnum):
    """What becomes of the path that a client asked for: members are dialled as declared (`stops`), only those
    that were declared without a path are asked for the client's (`fills`), or all are (`replaces`).
    """

    STOPS = "stops"
    FILLS = "fills"
    REPLACES = "replaces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What of the client's handshake goes on to the upstream; what is not named here stops at the gateway.

    `query`: names of query parameters passed on; `token` is filled from wherever the client put its token.
    `any_query`: pass on all others, too, but never the token nor what the gateway says itself.
    `identity`: also say who the client is: `user_id` as query, X-User-Id and X-Forwarded-For, -Proto and
    -Host as headers. The client's own of those names never go on.
    `path`: what becomes of the client's path.
    `params`, `param_headers`: what the route's path captures, as query parameters of the same names, and by
    the names of headers, percent-encoded. The client's own of those names never go on.
    """

    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ("user-agent", "accept-language")
    any_query: bool = False
    identity: bool = False
    path: ClientPath = ClientPath.STOPS
    params: tuple[str, ...] = ()
    param_headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _several(self, "query", "headers", "params")
        if said_twice := {name.lower() for name in self.headers} & {
            name.lower() for name in self.param_headers
        }:
            raise ValueError(f"headers both of the client and of the path: {', '.join(sorted(said_twice))}")

    def captures(self) -> frozenset[str]:
        """What of the path it names."""
        return frozenset((*self.params, *self.param_headers.values()))

    def query_string(self, subject: Subject) -> str:
        if self.any_query:
            values = {name: value for name, value in subject.query.items() if name not in _OWN_QUERY}
        else:
            values = {name: subject.query[name] for name in self.query if name in subject.query}
        if "token" in self.query and subject.principal.token:
            values["token"] = subject.principal.token
        values |= {name: subject.params[name] for name in self.params}
        if self.identity:
            values["user_id"] = subject.principal.user_id
        return urlencode(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSpec:
    """One member as declared: its base URL, its share under the weighted policies, its cap on links.

    A draining member gets no new links; `draining_seconds` not None also moves those it has, spread over
    that time.
    """

    url: str
    weight: int = 1
    max_connections: int | None = None
    draining: bool = False
    draining_seconds: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= 1000 or (self.max_connections is not None and self.max_connections < 1):
            raise ValueError(f"a weight is from 1 to 1000, a cap is positive: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The services of a route: `members` are WebSocket URLs, without a query. A `{name}` in a member's path
    stands for what the path of the route captures under that name.

    `probe` None: members are not probed. `breaker` None: a failed dial is not held against a member.
    `max_connections`: of each member, on one process; None for no cap. `editable`: staff may change the
    members while the gateway runs. `path` is what stands behind the address of each, those of staff, too.
    `setting` is what names the members, where it may be left unset: whoever does has no use for the route.
    """

    name: str
    members: tuple[str, ...]
    policy: PolicyName = PolicyName.ROUND_ROBIN
    probe: Probe | None = None
    breaker: BreakerLimits | None = None
    max_connections: int | None = None
    editable: bool = False
    path: str = ""
    setting: str = ""

    def __post_init__(self) -> None:
        _several(self, "members")

    @classmethod
    def of(
        cls,
        name: str,
        *bases: str,
        path: str = "",
        policy: PolicyName = PolicyName.ROUND_ROBIN,
        probe: Probe | None = None,
        breaker: BreakerLimits | None = None,
        max_connections: int | None = None,
        editable: bool = False,
        setting: str = "",
    ) -> Upstream:
        """An upstream whose members are `bases`, each with `path` behind it; raises as upstream_url."""
        return cls(
            name=name,
            members=tuple(upstream_url(base, path=path) for base in bases),
            policy=policy,
            probe=probe,
            breaker=breaker,
            max_connections=max_connections,
            editable=editable,
            path=path,
            setting=setting,
        )

    def member_url(self, base: str) -> str:
        """The URL of a member of staff's own, as `of` makes those that are declared.

        Raises ValueError as upstream_url, and for one that leaves out what all that are declared name.
        """
        url = upstream_url(base, path=self.path)
        for name in sorted(frozenset.intersection(*map(blanks_of, self.members or [url])) - blanks_of(url)):
            as_in = self.members[0]
            raise ValueError(f"its path lacks {{{name}}}, as the members from settings have it: {as_in}")
        return url

    def declared(self) -> tuple[MemberSpec, ...]:
        """The members as specs; what staff add later comes on top (see the engine's pool)."""
        return tuple(MemberSpec(url=url, max_connections=self.max_connections) for url in self.members)

    def is_replaced_by(self, urls: Collection[str]) -> bool:
        """Whether members of staff's own, `urls`, stand in place of others that are declared. None: no."""
        return bool(urls and self.members) and set(urls) != set(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPerLink:
    """A leg of the route's own for each link, where there is no service to dial: a store, an API.

    `open` makes it from what is known of the link, and may wait. It is asked before the accept: an error that
    it raises refuses the handshake. `name` stands where a member's URL does: in metrics, records and admin.
    `bounds_sends`: what a leg's `send` waits for has a deadline of its own; else one that takes as long as a
    slow consumer may ends its link.
    """

    name: str
    open: Callable[[Subject], Awaitable[Leg]]
    bounds_sends: bool = False


# What a client that comes back to topics with a history has heard, in its query.
SINCE = "since"
# What the gateway itself says or is told in a query; the client's own never goes on.
_OWN_QUERY = frozenset({"user_id", TOKEN_PARAMETER, TICKET_PARAMETER, "refuse"})


Authenticate = Callable[[Credentials], Awaitable[Principal]]
# Answers None, at once or when awaited, or raises Forbidden (or another GatewayError).
Authorize = Callable[[Subject], Awaitable[None] | None]


def _no_topics(_: Subject) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path and how its links behave. Instances are declared once, at import of the product's routes.

    Attributes:
        paths: Django path patterns without a leading slash.
        upstream: the services behind it, or what opens a leg of its own for each link.
        authenticate: finds out who a client is, once its address may have one more connection; may wait for a
            store. None: its JSON Web Token says it.
        authorize: asked once, before the dial, whether that client may come in. None: it may.
        divert: names another route that is to serve a client in place of this one, with all its rules; any
            other text, and it stays. Told who the client says it is, before anybody has verified that: it is
            not the place to let anybody in. None: all stay.
        topics: what a link hears beside its own connection, its user and everyone, of `topic_kinds` or of
            another connection or user. Of any other kind it is a mistake of the route: the handshake fails.
        control: the in-band control messages are switched on.
        required_query: must be present and not empty, or the handshake is refused with 400.
        resume: with RECONNECT a client outlives its member; `tell_resume` lets it know.
        connection_limits: how many links there are. None: what settings say for all.
        message_limits: how much clients send.
        bounds: the size of a message, of what waits for a slow client, and how long a link may be idle.
        policy: makes the policy of each link, once that is admitted, which is asked about each whole message.
        phrase: makes a message of this route's own protocol of a JSON text that the gateway has to say, be it
            an event or an error. None: clients read it as it is.
        farewell: answers the messages that tell clients of that protocol, before the close frame, that a link
            has ended for good; once the service has spoken.
    """

    name: str
    paths: tuple[str, ...]
    upstream: Upstream | LegPerLink
    forward: Forward = Forward()
    authenticate: Authenticate | None = None
    divert: Callable[[Principal], str] | None = None
    topics: Callable[[Subject], Iterable[str]] = _no_topics
    topic_kinds: tuple[TopicKind, ...] = ()
    authorize: Authorize | None = None
    control: bool = False
    unauthenticated_status: int = 401
    required_query: tuple[str, ...] = ()
    overflow: Overflow = Overflow.CLOSE
    resume: Resume = Resume.CLOSE
    tell_resume: bool = True
    connection_limits: ConnectionLimits | None = None
    message_limits: MessageLimits = UNLIMITED
    bounds: LinkBounds = NODE_BOUNDS
    policy: Callable[[Subject], Policy] | None = None
    phrase: Callable[[str], str] | None = None
    farewell: Farewell | None = None

    @property
    def histories(self) -> dict[str, History]:
        """What its topics remember, by the names of their kinds; of those that do."""
        return {kind.name: kind.history for kind in self.topic_kinds if kind.history is not None}

    def __post_init__(self) -> None:
        _several(self, "paths", "required_query")
        if self.histories and self.overflow is not Overflow.CLOSE:
            raise ValueError(f"route {self.name!r} drops events, of which topics with a history miss none")
        if TICKET_PARAMETER in (*self.forward.query, *self.required_query) and self.authenticate is None:
            raise ValueError(
                f"route {self.name!r}: {TICKET_PARAMETER!r} is the gateway's own query parameter"
            )
        if isinstance(self.upstream, LegPerLink):
            if self.resume is Resume.RECONNECT:
                raise ValueError(f"route {self.name!r} has no pool: there is nobody to reconnect to")
            return
        named = self.forward.captures().union(*map(blanks_of, self.upstream.members))
        for path in self.paths:
            for name in sorted(named - captured_by(path)):
                raise ValueError(f"the path {path!r} of the route {self.name!r} captures no {name!r}")
