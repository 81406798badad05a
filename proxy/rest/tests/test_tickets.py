"""POST /api/tickets: who gets one, for what, and what it stands for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channels.layers import channel_layers
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client import REGISTRY

from config.testing.servers import ValkeyServer
from proxy import registry
from proxy.cluster.tickets import take
from proxy.core.limits import Rate
from proxy.core.principal import Principal
from proxy.core.routes import Route, Upstream
from proxy.core.tickets import TICKET_SECONDS, Ticket, served_by
from proxy.models import Block
from proxy.rest import access
from proxy.rest.rates import UserRate
from proxy.rest.tests.calling import key, post, token
from proxy.tests.tokens import PUBLIC, pem_pair
from proxy.tokens import token_verifier

pytestmark = pytest.mark.django_db
PATH = "/api/tickets"
GAME = {"route": "experience"}


@pytest.fixture(autouse=True)
def _own_layer() -> None:
    channel_layers.backends.clear()


def taken(ticket: str) -> Ticket | None:
    return asyncio.run(take(ticket))


def staff(**fields: Any) -> Client:
    """A browser with a session in admin."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(
        User.objects.create_user("ada", email="ada@example.org", **{"is_staff": True, **fields})
    )
    client.get("/admin/")  # which sets the cookie
    return client


def post_as(client: Client, body: object = GAME, **headers: str) -> tuple[int, Any]:
    answer = client.post(PATH, json.dumps(body), content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def csrf(client: Client) -> dict[str, str]:
    return {"X-CSRFToken": client.cookies["csrftoken"].value}


def test_a_token_buys_a_ticket_that_stands_for_it_once() -> None:
    def counted() -> float:
        labels = {"route": "experience", "outcome": "issued"}
        return REGISTRY.get_sample_value("gateway_websocket_tickets_total", labels) or 0.0

    by, before, now = token("7"), counted(), datetime.now(UTC)
    status, told = post(GAME, by=by, path=PATH)
    assert (status, told.keys(), counted() - before) == (201, {"ticket", "expires_at"}, 1)
    left = datetime.fromisoformat(told["expires_at"]) - now
    assert timedelta(seconds=TICKET_SECONDS) <= left < timedelta(minutes=2)
    assert taken(told["ticket"]) == Ticket(token=by.removeprefix("Bearer "), routes=("experience",))
    assert taken(told["ticket"]) is None


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("caller", "127.0.0.1"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_it_may_be_for_one_address_as_the_gateway_writes_it(wanted: str, kept: str) -> None:
    _, told = post({**GAME, "address": wanted}, by=token("7"), path=PATH)
    ticket = taken(told["ticket"])
    assert ticket is not None
    assert ticket.address == kept


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({}, 400, "bad_request", "route: This field is required."),
        ({"route": 7}, 400, "bad_request", "route: "),
        ({**GAME, "user": "8"}, 400, "bad_request", "no such field: user"),
        ({**GAME, "address": "here"}, 400, "bad_request", "'here' is none"),
        ({"route": "elsewhere"}, 404, "not_found", "there is no route 'elsewhere'"),
        (
            {"route": "sessions"},
            400,
            "bad_request",
            "route 'sessions' finds out by itself who its clients are",
        ),
        ('{"route": "experience", "route": "chat"}', 400, "bad_request", "given twice"),
    ],
)
def test_what_cannot_be_had_is_told(body: object, status: int, code: str, says: str) -> None:
    answered, told = post(body, by=token("7"), path=PATH)
    assert (answered, told["code"]) == (status, code)
    assert says in told["message"]


@pytest.mark.parametrize(
    ("by", "status", "code"),
    [
        (lambda: "", 401, "authentication_failed"),
        (lambda: token("7")[:-2], 401, "authentication_failed"),
        (lambda: token("7", exp=1), 401, "token_expired"),
        (lambda: key("*"), 401, "authentication_failed"),
        (lambda: token("blocked"), 403, "blocked"),
    ],
)
def test_who_is_no_user_of_a_good_token_gets_none(by: Callable[[], str], status: int, code: str) -> None:
    Block.objects.create(user_id="blocked")
    answered, told = post(GAME, by=by(), path=PATH)
    assert (answered, told["code"]) == (status, code)


def test_a_user_gets_no_more_than_the_rate_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_CALLS", UserRate(lambda: Rate(2, 60)))
    monkeypatch.setattr(access, "_CALLS_OF_STAFF", UserRate(lambda: Rate(2, 60)))
    client = staff()
    assert [post(GAME, by=token("7"), path=PATH)[0] for _ in range(3)] == [201, 201, 429]
    assert [post_as(client, **csrf(client))[0] for _ in range(3)] == [201, 201, 429]


def test_where_redis_is_away_none_is_issued(settings: Any, valkey: ValkeyServer) -> None:
    layer = "proxy.cluster.layer.GatewayChannelLayer"
    hosts = [{**settings.REDIS_HOST, "address": valkey.url}]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": layer, "CONFIG": {"hosts": hosts}}}
    assert post(GAME, by=token("7"), path=PATH)[0] == 201
    valkey.kill()
    status, told = post(GAME, by=token("7"), path=PATH)
    assert (status, told["code"], told["retry_after_ms"]) == (503, "tickets_unavailable", 2000)


# --- Staff -----
def test_a_session_of_staff_buys_one_that_stands_for_a_short_token_of_ours() -> None:
    client = staff()
    status, told = post_as(client, **csrf(client))
    assert status == 201
    ticket = taken(told["ticket"])
    assert ticket is not None
    principal = token_verifier().verify(ticket.token)
    assert (principal.user_id, principal.email) == ("ada", "ada@example.org")
    assert principal.expires_at is not None
    assert 0 < principal.expires_at - datetime.now(UTC).timestamp() <= access.STAFF_TOKEN_SECONDS


def test_staff_and_a_player_of_their_name_keep_each_other_from_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "_CALLS", UserRate(lambda: Rate(1, 60)))
    client = staff()
    assert [post(GAME, by=token("ada"), path=PATH)[0] for _ in range(2)] == [201, 429]
    with caplog.at_level(logging.INFO):
        assert post_as(client, **csrf(client))[0] == 201
    signed = [vars(each) for each in caplog.records if "session of staff" in each.message]
    assert [(each["user"], each["staff"]) for each in signed] == [("ada", "ada")]


def test_a_proxys_own_login_in_front_of_admin_leaves_the_session_what_it_is() -> None:
    client = staff()
    assert post_as(client, Authorization="Basic YTpi", **csrf(client))[0] == 201


def test_where_tokens_are_of_other_users_a_session_of_staff_buys_none(settings: Any) -> None:
    settings.REVOKE_ON = frozenset()
    client = staff()
    status, told = post_as(client, **csrf(client))
    assert (status, "REVOKE_ON" in told["message"]) == (403, True)


def test_a_session_buys_nothing_without_its_csrf_token_nor_for_who_is_no_staff() -> None:
    client = staff()
    status, told = post_as(client)
    assert (status, told["code"], "CSRF" in told["message"]) == (403, "forbidden", True)
    User.objects.update(is_staff=False)
    assert post_as(client, **csrf(client))[0] == 401
    User.objects.update(is_staff=True, is_active=False)
    assert post_as(client, **csrf(client))[0] == 401


def test_a_token_counts_and_not_the_session_beside_it() -> None:
    client = staff()
    status, told = post_as(client, Authorization=token("7"))
    ticket = taken(told["ticket"])
    assert (status, ticket is not None) == (201, True)
    assert ticket is not None
    assert token_verifier().verify(ticket.token).user_id == "7"
    assert post_as(client, Authorization=token("7", exp=1), **csrf(client))[0] == 401


def test_where_no_token_can_be_signed_staff_are_told(settings: Any) -> None:
    settings.JWT_ALGORITHM, settings.JWT_SIGNING_KEY = "ES256", ""
    settings.JWT_VERIFYING_KEY = pem_pair("ES256")[PUBLIC]
    client = staff()
    status, told = post_as(client, **csrf(client))
    assert (status, told["code"], "JWT_SIGNING_KEY" in told["message"]) == (403, "forbidden", True)


# --- Clients that are moved to another route -----
def test_a_ticket_says_where_the_route_sends_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Route(name="old", paths=("old",), upstream=Upstream.of("a", "http://127.0.0.1:1"))
    old = replace(old, divert=lambda principal: "new" if principal.claims.get("new") else "nowhere")
    new = replace(old, name="new", paths=("new",), divert=None)
    monkeypatch.setattr(registry, "routes", lambda: (old, new))
    monkeypatch.setattr("proxy.rest.tickets.routes", lambda: (old, new))
    for by, name in ((token("7", new=True), "new"), (token("7"), "")):
        _, told = post({"route": "old"}, by=by, path=PATH)
        assert served_by(told["ticket"]) == name
        ticket = taken(told["ticket"])
        assert ticket is not None
        assert ticket.routes == (("old", name) if name else ("old",))


def test_a_route_that_finds_out_by_itself_may_have_tickets_of_its_own_and_others_not() -> None:
    async def authenticate(_: object) -> Principal:
        raise NotImplementedError

    made = Route(name="a", paths=("a",), upstream=Upstream.of("a", "http://127.0.0.1:1"))
    own = replace(made, authenticate=authenticate, required_query=("ticket",))
    assert own.required_query == ("ticket",)
    with pytest.raises(ValueError, match="'ticket' is the gateway's own"):
        replace(made, required_query=("ticket",))
