import ipaddress
import re
import time
from collections.abc import Iterable
from typing import Any

import pytest
from asgiref.compatibility import is_double_callable
from channels.testing import WebsocketCommunicator
from pytest_django import Settings

from proxy.core.errors import (
    AuthenticationFailed,
    BadRequest,
    HostRefused,
    MalformedHead,
    OriginRefused,
    TokenExpired,
)
from proxy.core.origins import OriginPattern
from proxy.core.principal import Principal
from proxy.socket.middleware import ClientAddress, gateway_middleware
from proxy.tests.tokens import SECRET, issue
from proxy.tokens import token_verifier

NO_CHANNEL: Any = (None, None)
REQUEST_ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(autouse=True)
def _known_settings(settings: Settings) -> None:
    settings.JWT_ALGORITHM, settings.JWT_SIGNING_KEY = "HS256", SECRET
    settings.JWT_ISSUER = settings.JWT_AUDIENCE = settings.JWT_JWKS_URL = ""
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)
    settings.TRUSTS_UNIX_SOCKET = False
    settings.ALLOWED_ORIGINS = ()
    settings.ALLOWED_HOSTS = ["gateway.test", ".example.org", "192.0.2.1", "[2001:db8::1]"]


async def through(
    *,
    headers: Iterable[tuple[str, str]] = (),
    query: str = "",
    subprotocols: Iterable[str] = (),
    **scope: Any,
) -> dict[str, Any]:
    """The scope as the application behind the middleware sees it."""
    seen = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    headers = list(headers)
    if "host" not in dict(headers):
        headers.append(("host", "gateway.test"))
    scope = {
        "type": "websocket",
        "path": "/ws/experience",
        "client": ("203.0.113.9", 4711),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "query_string": query.encode(),
        "subprotocols": list(subprotocols),
        **scope,
    }
    await gateway_middleware(application)(scope, *NO_CHANNEL)
    return seen


def principal_of(scope: dict[str, Any]) -> Principal:
    return token_verifier().verify(scope["token"])


# --- The token -----
@pytest.mark.parametrize("way", ["header", "query", "subprotocol", "all three", "bare subprotocol"])
async def test_a_token_is_taken_from_wherever_the_client_put_it(way: str) -> None:
    raw = issue(email="a@example.com")
    given: dict[str, Any] = {}
    if way in {"header", "all three"}:
        given["headers"] = [("authorization", f"Bearer {raw}")]
    if way in {"query", "all three"}:
        given["query"] = f"token={raw}&experience=wylding-woods"
    if way in {"subprotocol", "all three"}:
        given["subprotocols"] = ["bearer", raw, "chat"]
    if way == "bare subprotocol":
        given["subprotocols"] = ["chat", raw]
    scope = await through(**given)
    assert scope["refusal"] is None
    principal = principal_of(scope)
    assert (principal.user_id, principal.email, principal.token) == ("42", "a@example.com", raw)
    assert scope["bearer_subprotocol"] is ("bearer" in given.get("subprotocols", ()))


async def test_the_token_is_in_neither_the_query_nor_the_subprotocols_that_go_onward() -> None:
    raw = issue()
    scope = await through(
        query=f"token={raw}&experience=a&experience=b", subprotocols=["chat", "bearer", raw]
    )
    assert scope["query"] == {"experience": "a"}
    assert (scope["offered_subprotocols"], scope["refusal_subprotocol"]) == (("chat",), "bearer")


async def test_two_different_tokens_are_refused() -> None:
    scope = await through(query=f"token={issue()}", headers=[("authorization", f"Bearer {issue(sub='43')}")])
    assert scope["token"] == ""
    assert scope["refusal"].reason == "conflicting"
    scope = await through(query=f"token={issue()}&token={issue(sub='43')}")
    assert scope["refusal"].reason == "conflicting"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "missing"),
        ({"query": "token="}, "missing"),
        ({"headers": [("authorization", "Basic dXNlcjpwYXNz")]}, "missing"),
        ({"headers": [("authorization", "Bearer")]}, "missing"),
        ({"subprotocols": ["bearer"]}, "missing"),
        ({"query": "token=%ff%00"}, "malformed"),
        ({"query": "token=a.b.c&refuse=close"}, "malformed"),
        ({"headers": [("authorization", "Bearer \xff\xfe")]}, "malformed"),
    ],
)
async def test_a_token_that_is_not_valid_is_taken_out_all_the_same(
    given: dict[str, Any], reason: str
) -> None:
    scope = await through(**given)
    with pytest.raises(AuthenticationFailed) as failed:
        principal_of(scope)
    assert failed.value.reason == reason
    assert scope["refusal"] is scope["principal"] is None
    assert "token" not in scope["query"]


async def test_an_expired_token_is_told_apart() -> None:
    scope = await through(query=f"token={issue(exp=int(time.time()) - 5)}&refuse=close")
    with pytest.raises(TokenExpired):
        principal_of(scope)
    assert scope["query"] == {"refuse": "close"}


async def test_a_refusal_leaves_no_traceback_behind() -> None:
    scope = await through(query=f"token={issue()}&token={issue(sub='43')}")
    assert scope["refusal"].__traceback__ is None


async def test_too_many_parameters_are_a_bad_request() -> None:
    scope = await through(query="&".join(f"a{n}=1" for n in range(100)))
    assert isinstance(scope["refusal"], BadRequest)
    assert scope["query"] == {}


async def test_a_scope_with_the_bare_minimum_is_read() -> None:
    scope = await through(headers=(), client=None, subprotocols=())
    assert scope["client_address"] == ""
    await gateway_middleware(_nothing)({"type": "websocket"}, *NO_CHANNEL)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    assert isinstance(scope["refusal"], HostRefused)


# --- The head -----
@pytest.mark.parametrize(
    "host", ["gateway.test", "Gateway.Test:8666", "eu.example.org", "192.0.2.1:80", "[2001:db8::1]:8666"]
)
async def test_a_host_of_allowed_hosts_is_let_in(host: str) -> None:
    assert (await through(headers=[("host", host)], query=f"token={issue()}"))["refusal"] is None


@pytest.mark.parametrize(
    "hosts",
    [
        *(["evil.example"], ["gateway.test@evil.example"], ["evil.example/gateway.test"], ["x@gateway.test"]),
        *([""], ["gateway.test", "gateway.test"], ["gateway.test,gateway.test"], ["gateway.test:port"]),
    ],
)
async def test_any_other_host_is_refused_as_http_refuses_it(hosts: list[str]) -> None:
    origin = ("origin", f"http://{hosts[0]}")
    scope = await through(headers=[*(("host", host) for host in hosts), origin], query=f"token={issue()}")
    assert isinstance(scope["refusal"], HostRefused)


@pytest.mark.parametrize(
    "header",
    [
        *(("user-agent", "a\x01b"), ("user-agent", "a\x7fb"), ("x-request-id", "\x00")),
        *(("sec-websocket-protocol", "foo bar"), ("sec-websocket-protocol", "chat, caf\xe9")),
    ],
)
async def test_a_head_that_is_not_clean_is_refused_and_offers_nothing(header: tuple[str, str]) -> None:
    scope = await through(headers=[header], subprotocols=["chat"], query=f"token={issue()}")
    assert isinstance(scope["refusal"], MalformedHead)
    assert scope["offered_subprotocols"] == ()


# --- The origin -----
async def test_a_native_client_sends_no_origin_and_is_let_in(settings: Settings) -> None:
    settings.ALLOWED_ORIGINS = (OriginPattern.parse("https://play.example.com"),)
    assert (await through(query=f"token={issue()}"))["refusal"] is None


@pytest.mark.parametrize(
    ("origin", "listed", "refused"),
    [
        ("https://play.example.com", ("https://*.example.com",), False),
        ("https://evil.example", ("https://*.example.com",), True),
        ("https://evil.example", ("*",), False),
        ("http://gateway.test:3000", (), False),
        ("http://gateway.test:3000", ("https://*.example.com",), False),
        ("https://evil.example", (), True),
    ],
)
async def test_a_page_is_judged_by_its_origin(
    settings: Settings, origin: str, listed: tuple[str, ...], refused: bool
) -> None:
    settings.ALLOWED_ORIGINS = tuple(map(OriginPattern.parse, listed))
    headers = [("host", "gateway.test:8666"), ("origin", origin)]
    scope = await through(headers=headers, query=f"token={issue()}")
    assert isinstance(scope["refusal"], OriginRefused) is refused


@pytest.mark.parametrize("page", ["http://localhost:5173", "http://127.0.0.1:3000", "https://[::1]:5173"])
async def test_a_page_of_this_machine_is_let_in_while_developing_and_else_not(
    settings: Settings, page: str
) -> None:
    settings.ALLOWED_ORIGINS = (OriginPattern.parse("https://play.example.com"),)
    headers = [("host", "gateway.test:8666"), ("origin", page)]
    for settings.DEBUG in (True, False):
        scope = await through(headers=headers, query=f"token={issue()}")
        assert (scope["refusal"] is None) is settings.DEBUG

    settings.DEBUG = True
    headers = [("host", "gateway.test:8666"), ("origin", "http://localhost.evil.example:5173")]
    assert isinstance((await through(headers=headers, query=f"token={issue()}"))["refusal"], OriginRefused)


async def test_every_origin_header_must_be_allowed() -> None:
    headers = [
        ("host", "gateway.test"),
        ("origin", "https://gateway.test"),
        ("origin", "https://evil.example"),
    ]
    assert isinstance((await through(headers=headers))["refusal"], OriginRefused)


@pytest.mark.parametrize("query", ["token=garbage", "token=a&token=b", "&".join(["a=1"] * 100)])
async def test_the_first_failure_is_the_one_that_is_answered(query: str) -> None:
    headers = [("host", "gateway.test"), ("origin", "https://evil.example")]
    assert isinstance((await through(headers=headers, query=query))["refusal"], OriginRefused)


# --- Address and request id -----
@pytest.mark.parametrize("kind", ["websocket", "http"])
async def test_a_trusted_proxy_says_who_the_client_is_and_what_the_request_is_called(kind: str) -> None:
    headers = [("x-forwarded-for", "6.6.6.6, 198.51.100.7"), ("x-request-id", "edge-1.a_B")]
    scope = await through(headers=headers, client=("10.0.0.1", 1), type=kind)
    assert scope["client_address"] == "198.51.100.7"
    assert scope["request_id"] == "edge-1.a_B"


async def test_a_strangers_headers_are_ignored() -> None:
    headers = [("x-forwarded-for", "198.51.100.7"), ("x-real-ip", "198.51.100.7"), ("x-request-id", "edge-1")]
    scope = await through(headers=headers)
    assert scope["client_address"] == "203.0.113.9"
    assert REQUEST_ID.fullmatch(scope["request_id"])


FORWARDED_LIES = [
    ("x-forwarded-host", "evil.example", HostRefused),
    ("x-forwarded-host", "gateway.test/evil", HostRefused),
    ("x-forwarded-host", "gateway.test@evil.example", HostRefused),
    ("x-forwarded-host", "evil.example, gateway.test", HostRefused),
    ("x-forwarded-proto", "javascript", MalformedHead),
    ("x-forwarded-proto", "https://evil.example", MalformedHead),
]


@pytest.mark.parametrize(("name", "value", "refusal"), FORWARDED_LIES)
async def test_a_host_or_scheme_that_a_trusted_proxy_passes_on_unseen_is_refused(
    name: str, value: str, refusal: type[BadRequest]
) -> None:
    scope = await through(headers=[(name, value)], client=("10.0.0.1", 1))
    assert type(scope["refusal"]) is refusal
    assert name in str(scope["refusal"]).lower()


@pytest.mark.parametrize(("name", "value", "_"), FORWARDED_LIES)
async def test_a_host_or_scheme_that_a_stranger_forwards_is_not_looked_at(
    name: str, value: str, _: object
) -> None:
    assert (await through(headers=[(name, value)], query=f"token={issue()}"))["refusal"] is None


@pytest.mark.parametrize("proto", ["https", "WSS", "http, https"])
async def test_hosts_and_schemes_of_allowed_hosts_are_let_in_the_first_of_several(proto: str) -> None:
    headers = [("x-forwarded-host", "a.example.org:443, inner"), ("x-forwarded-proto", proto)]
    scope = await through(headers=headers, client=("10.0.0.1", 1), query=f"token={issue()}")
    assert scope["refusal"] is None


async def test_the_origin_is_compared_with_the_host_and_not_with_what_is_forwarded() -> None:
    headers = [("x-forwarded-host", "a.example.org"), ("origin", "https://a.example.org")]
    scope = await through(headers=headers, client=("10.0.0.1", 1))
    assert isinstance(scope["refusal"], OriginRefused)


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", "é", '"}{"'])
async def test_a_request_id_that_does_not_belong_in_a_log_is_replaced(given: str) -> None:
    scope = await through(headers=[("x-request-id", given)], client=("10.0.0.1", 1))
    assert REQUEST_ID.fullmatch(scope["request_id"])


async def test_every_request_has_an_id_of_its_own() -> None:
    assert (await through())["request_id"] != (await through())["request_id"]


@pytest.mark.parametrize("client", [None, ["", None], ["/run/gateway.sock", 0]])
async def test_a_peer_without_an_address_is_tolerated_and_not_trusted(client: Any) -> None:
    scope = await through(headers=[("x-forwarded-for", "198.51.100.7"), ("x-request-id", "e")], client=client)
    assert scope["client_address"] == ""
    assert REQUEST_ID.fullmatch(scope["request_id"])


async def test_a_trusted_unix_socket_leads_to_a_proxy(settings: Settings) -> None:
    settings.TRUSTS_UNIX_SOCKET = True
    scope = await through(headers=[("x-forwarded-for", "198.51.100.7"), ("x-request-id", "e")], client=None)
    assert (scope["client_address"], scope["request_id"]) == ("198.51.100.7", "e")


async def test_an_ipv4_client_on_an_ipv6_socket_has_its_ipv4_address() -> None:
    assert (await through(client=("::ffff:203.0.113.9", 1)))["client_address"] == "203.0.113.9"


# --- As ASGI applications -----
async def test_http_requests_need_no_token_and_other_scopes_pass_untouched() -> None:
    scope = await through(type="http")
    assert "refusal" not in scope
    assert "principal" not in scope
    assert "request_id" not in await through(type="lifespan")


async def test_no_frame_of_the_middleware_stays_with_an_open_connection() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None: ...

    coroutine: Any = gateway_middleware(application)({"type": "websocket"}, *NO_CHANNEL)
    assert coroutine.__qualname__ == application.__qualname__
    await coroutine


async def test_asgirefs_check_takes_it_for_what_it_is() -> None:
    assert not is_double_callable(gateway_middleware(_nothing))  # type: ignore[no-untyped-call]
    assert not is_double_callable(ClientAddress(_nothing))  # type: ignore[no-untyped-call]


async def test_channels_own_communicator_passes_through_it() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": None})
        await receive()

    headers = [(b"host", b"gateway.test")]
    client = WebsocketCommunicator(gateway_middleware(application), f"/ws?token={issue()}", headers)
    assert (await client.connect())[0]
    await client.disconnect()
