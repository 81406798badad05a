"""Routes: the service's URL, and what of a client's handshake goes on to it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.history import History
from proxy.core.pools.balancing import PolicyName
from proxy.core.pools.breaker import BreakerLimits
from proxy.core.pools.health import Probe
from proxy.core.principal import Principal
from proxy.core.routes import Forward, MemberSpec, Overflow, Route, Subject, Upstream, upstream_url
from proxy.core.topics import TopicKind

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
QUERIES = st.dictionaries(
    NAMES | st.sampled_from(["token", "ticket", "user_id", "refuse", "experience"]), NAMES, max_size=8
)


def subject(query: dict[str, str], *, user_id: str = "42", token: str = "the-token") -> Subject:
    return Subject(connection_id="c", principal=Principal(user_id=user_id, token=token), query=query)


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("http://kb:8001", "/ws/experience", "ws://kb:8001/ws/experience"),
        ("https://kb", "ws", "wss://kb/ws"),
        ("ws://127.0.0.1:1/", "", "ws://127.0.0.1:1/"),
        ("wss://kb.example/base/", "/ws", "wss://kb.example/base/ws"),
        ("http://[::1]:8001/a/b", "c", "ws://[::1]:8001/a/b/c"),
        ("HTTP://kb", "", "ws://kb/"),
        ("ws://studio:8010/ws", "", "ws://studio:8010/ws"),
        ("ws://studio:8010/ws/", "", "ws://studio:8010/ws/"),
        ("ws://kb/ws/experience", "/ws/experience", "ws://kb/ws/experience"),
    ],
)
def test_a_service_url_becomes_a_websocket_url(base: str, path: str, url: str) -> None:
    assert upstream_url(base, path=path) == url


@pytest.mark.parametrize(
    "base",
    [
        "",
        "kb:8001",
        "ftp://kb",
        "http://",
        "http://kb?x=1",
        "http://kb#part",
        "http://user@kb",
        "http://user:password@kb",
        "http://:password@kb",
        "http://kb:notaport",
        "http://kb:70000",
    ],
)
def test_what_is_no_plain_service_url_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match=r"a service URL is like ws://host:port/path"):
        upstream_url(base, path="/ws")


@pytest.mark.parametrize(
    "base", ["ws://ada:hunter2@kb", "ws://ada:hunter2/x@kb", "ws://ada:[hunter2@kb", "hunter2"]
)
def test_a_url_that_is_refused_is_not_repeated_since_it_may_hold_a_password(base: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  what it does not say is the matter
        upstream_url(base)
    assert "hunter2" not in str(refused.value)


@given(
    scheme=st.sampled_from(["http", "https", "ws", "wss"]),
    host=st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True),
    port=st.integers(1, 65535),
    path=st.from_regex(r"(/[a-z0-9._-]{1,8}){0,4}/?", fullmatch=True),
)
def test_a_made_url_keeps_host_port_and_path_and_can_be_made_again(
    scheme: str, host: str, port: int, path: str
) -> None:
    made = upstream_url(f"{scheme}://{host}:{port}", path=path)
    parts = urlsplit(made)
    assert (parts.hostname, parts.port, parts.path) == (host, port, path or "/")
    assert parts.scheme == ("wss" if scheme in {"https", "wss"} else "ws")
    assert urlsplit(upstream_url(made)).netloc == parts.netloc


@given(query=QUERIES, named=st.lists(NAMES | st.sampled_from(["experience", "token"]), max_size=4))
def test_no_query_parameter_goes_on_that_is_not_named(query: dict[str, str], named: list[str]) -> None:
    sent = Forward(query=tuple(named)).query_string(subject(query))
    expected = {name: query[name] for name in named if name in query}
    if "token" in named:
        expected["token"] = "the-token"
    assert dict(parse_qsl(sent, keep_blank_values=True)) == expected


@given(query=QUERIES, identity=st.booleans())
def test_any_query_passes_everything_but_the_token_and_what_the_gateway_says_itself(
    query: dict[str, str], identity: bool
) -> None:
    sent = parse_qs(Forward(any_query=True, identity=identity).query_string(subject(query)))
    own = {"user_id": ["42"]} if identity else {}
    ours = {"token", "ticket", "user_id", "refuse"}
    passed = {name: [value] for name, value in query.items() if name not in ours}
    assert sent == passed | own


@given(query=QUERIES, named=st.lists(NAMES, max_size=3))
def test_a_client_cannot_say_who_it_is(query: dict[str, str], named: list[str]) -> None:
    forward = Forward(query=(*named, "user_id", "token"), identity=True)
    sent = parse_qs(forward.query_string(subject({**query, "user_id": "admin", "token": "forged"})))
    assert sent["user_id"] == ["42"]
    assert sent["token"] == ["the-token"]


def test_the_token_is_sent_wherever_the_client_had_put_it() -> None:
    assert Forward(query=("token",)).query_string(subject({})) == "token=the-token"


@pytest.mark.parametrize(
    "wrong", [{"weight": 0}, {"weight": 1001}, {"max_connections": 0}, {"max_connections": -1}]
)
def test_a_member_with_no_share_or_no_room_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a weight is from 1 to 1000"):
        MemberSpec(url="ws://kb/", **wrong)  # type: ignore[arg-type]


def test_an_upstream_is_declared_by_its_service_urls() -> None:
    upstream = Upstream.of("kb", "http://a:1", "https://b", path="/ws")
    assert upstream.members == ("ws://a:1/ws", "wss://b/ws")
    assert [spec.url for spec in upstream.declared()] == list(upstream.members)


def test_a_route_hears_no_topics_of_its_own_unless_it_names_them() -> None:
    route = Route(name="r", paths=("r",), upstream=Upstream.of("kb", "http://a:1"))
    assert tuple(route.topics(subject({}))) == ()


def test_an_upstream_is_made_with_all_that_is_said_of_it() -> None:
    said = {
        "policy": PolicyName.AFFINITY,
        "probe": Probe(),
        "breaker": BreakerLimits(),
        "max_connections": 7,
        "editable": True,
        "setting": "KB_SERVICE_URL",
    }
    upstream = Upstream.of("kb", "http://a:1", path="/ws", **said)  # type: ignore[arg-type]
    assert upstream == Upstream(name="kb", members=("ws://a:1/ws",), path="/ws", **said)  # type: ignore[arg-type]
    assert upstream.declared() == (MemberSpec(url="ws://a:1/ws", max_connections=7),)


SHOPS = Upstream.of("shops", "ws://shops:1", path="/{shop}/ws")


@pytest.mark.parametrize(
    ("paths", "upstream", "forward"),
    [
        (("shops/ws",), SHOPS, Forward()),
        (("shops/<shop>/ws", "shops/ws"), SHOPS, Forward()),
        (("ws",), Upstream.of("kb", "ws://kb"), Forward(params=("shop",))),
        (("ws",), Upstream.of("kb", "ws://kb"), Forward(param_headers={"x-shop": "shop"})),
    ],
)
def test_a_route_that_names_what_its_paths_do_not_capture_is_no_route(
    paths: tuple[str, ...], upstream: Upstream, forward: Forward
) -> None:
    with pytest.raises(ValueError, match="captures no 'shop'"):
        Route(name="shops", paths=paths, upstream=upstream, forward=forward)


def test_a_header_comes_from_the_client_or_from_the_path() -> None:
    with pytest.raises(ValueError, match="both of the client and of the path: x-shop"):
        Forward(headers=("x-shop",), param_headers={"X-Shop": "shop"})


def test_no_client_has_a_say_in_which_host_is_dialled() -> None:
    with pytest.raises(ValueError, match="in its path only"):
        Upstream.of("shops", "ws://{shop}.internal")


@pytest.mark.parametrize(
    ("field", "declared"),
    [
        ("paths of Route", lambda: Route(name="r", paths="echo", upstream=Upstream.of("r"))),  # type: ignore[arg-type]
        (
            "required_query of Route",
            lambda: Route(name="r", paths=("echo",), upstream=Upstream.of("r"), required_query="room"),  # type: ignore[arg-type]
        ),
        ("members of Upstream", lambda: Upstream(name="r", members="ws://kb")),  # type: ignore[arg-type]
        ("query of Forward", lambda: Forward(query="token")),  # type: ignore[arg-type]
        ("params of Forward", lambda: Forward(params="shop")),  # type: ignore[arg-type]
        ("headers of Forward", lambda: Forward(headers="origin")),  # type: ignore[arg-type]
    ],
)
def test_a_text_without_its_comma_is_not_taken_letter_by_letter(
    field: str, declared: Callable[[], object]
) -> None:
    with pytest.raises(ValueError, match=rf"{field} is a tuple, such as \('\S+',\); got '\S+'$"):
        declared()


def test_a_route_that_drops_events_has_no_topics_with_a_history() -> None:
    room = TopicKind("room", history=History(events=1, seconds=1))
    upstream = Upstream.of("a", "ws://127.0.0.1:1")
    with pytest.raises(ValueError, match="route 'a' drops events"):
        Route(name="a", paths=("a",), upstream=upstream, topic_kinds=(room,), overflow=Overflow.DROP_OLDEST)
