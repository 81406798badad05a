"""POST /api/events: who may publish what, and what is answered to what was not meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone

from config.testing.program import free_port
from config.testing.servers import PostgresServer
from proxy.cluster import asking
from proxy.cluster.layer import GatewayChannelLayer
from proxy.core.topics import LINK_KINDS, TopicKind, group_name
from proxy.models import ApiKey, Block
from proxy.rest.access import KeyOrToken
from proxy.rest.tests.calling import get, key, post, token

HELLO = {"type": "hello"}
NOBODY = {"nodes": 0, "links": 0}


@pytest.fixture
def heard() -> Iterator[Callable[[], str]]:
    """The next text that came to user ada's group. Whoever is in it does not answer."""
    layer, group = get_channel_layer(), group_name("user:ada")
    channel = async_to_sync(layer.new_channel)()
    async_to_sync(layer.group_add)(group, channel)
    yield lambda: async_to_sync(layer.receive)(channel)["text"]
    async_to_sync(layer.group_discard)(group, channel)


@pytest.mark.usefixtures("any_database")
def test_a_key_publishes_to_its_topics_alone(
    monkeypatch: pytest.MonkeyPatch, heard: Callable[[], str]
) -> None:
    monkeypatch.setattr("proxy.cluster.memory_store.ANSWER_SECONDS", 0.01)
    mine = key("user:*", "experience:old-*")

    assert post({"topic": "user:ada", "event": HELLO}, by=mine) == (200, NOBODY | {"silent": 1})
    assert heard() == '{"type":"hello"}'
    several = [{"topic": "experience:old-mill", "event": HELLO}, {"topic": "user:b", "event": HELLO}]
    assert post(several, by=mine) == (200, [NOBODY, NOBODY])
    for topic in ("everyone", "experience:new", "connection:1", "node:all", "user", "gateway.user:1"):
        status, told = post(
            [{"topic": "user:ada", "event": HELLO}, {"topic": topic, "event": HELLO}], by=mine
        )
        assert (status, told["code"]) == (403, "forbidden")
        assert told["message"].startswith("1: key game (")
    assert post({"topic": "user:ada", "event": {"type": "next"}}, by=mine)[0] == 200
    assert heard() == '{"type":"next"}', "what stood beside a refused one went out"


@pytest.mark.django_db
def test_what_services_say_to_each_other_is_nobodys_to_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (*LINK_KINDS, TopicKind("hidden", is_internal=True))
    for where in ("rest.events", "cluster.signals", "cluster.asking"):
        monkeypatch.setattr(f"proxy.{where}.topic_kinds", lambda: kinds)

    status, told = post({"topic": "hidden:1", "event": HELLO}, by=key("*"))
    assert (status, told["code"]) == (403, "forbidden")


@pytest.mark.django_db
def test_nobody_publishes_what_the_gateway_says() -> None:
    for event in ({"type": "gateway.resync"}, {"type": "gateway."}):
        status, told = post({"topic": "user:ada", "event": event}, by=key("*"))
        assert (status, told["code"]) == (400, "bad_request")
        assert "the gateway's own" in told["message"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "by",
    [
        *("", "Basic YTpi", "Token x", "Bearer", "Bearer x", "Api-Key", "Api-Key x", "Api-Key é"),
        f"Api-Key sluicegate_{'0' * 12}_{'a' * 43}",
    ],
)
def test_who_shows_nothing_valid_is_told_how(by: str) -> None:
    answer = Client().post(
        "/api/events", "{}", content_type="application/json", headers={"Authorization": by}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
    assert answer.headers["WWW-Authenticate"] == "Api-Key, Bearer"


@pytest.mark.django_db
def test_a_revoked_key_and_a_token_that_has_expired_are_nobodys() -> None:
    mine = key("*")
    ApiKey.objects.update(revoked_at=timezone.now())
    status, told = post({"topic": "everyone", "event": HELLO}, by=mine)
    assert status == 401
    assert "was revoked" in told["message"]  # it did arrive, and how it is shown is not the mistake
    assert post({"topic": "everyone", "event": HELLO}, by=token("ada", exp=1))[1]["code"] == "token_expired"


@pytest.mark.usefixtures("any_database")
def test_a_token_may_what_its_user_was_given_for_tokens_and_nothing_else() -> None:
    def may(user: str, topic: str) -> bool:
        status, told = post({"topic": topic, "event": HELLO}, by=token(user))
        assert status == 200 or told["message"] == f"user {user} may not publish to {topic!r}"
        return status == 200

    def permission(codename: str) -> Permission:
        return Permission.objects.get(codename=codename, content_type__app_label="proxy")

    ada = User.objects.create_user("ada")
    bob = User.objects.create_user("bob")
    User.objects.create_superuser("root").user_permissions.add(permission("kick_connection"))
    assert not any(may(user, "user:1") for user in ("ada", "bob", "root", "nobody"))

    ada.user_permissions.add(permission("publish_user_by_token"), permission("publish_everyone_by_token"))
    team = Group.objects.create(name="team")
    team.permissions.add(permission("publish_by_token"))
    bob.groups.add(team)
    asked = ("user:1", "experience:x", "everyone")
    assert [may("ada", topic) for topic in asked] == [True, False, True]
    assert [may("bob", topic) for topic in asked] == [True, True, True]

    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert not may("bob", "user:1")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "JSON parse error"),
        ("[" * 100_000, "nested too deeply"),
        ('{"topic":"everyone","event":{"type":"x","a":NaN}}', "JSON parse error"),
        ("5", "Expected a dictionary"),
        ([], "1 to 1000 events, not 0"),
        ([{"topic": "everyone", "event": HELLO}] * 1001, "1 to 1000 events, not 1001"),
        ([[]], "0: Invalid data"),
        ({}, "topic: This field is required. event: This field is required."),
        ({"topic": 5, "event": HELLO}, "topic: Not a valid string."),
        ({"topic": " everyone", "event": HELLO}, "a topic is 'everyone' or one of"),
        ({"topic": "nobody:1", "event": HELLO}, "a topic is 'everyone' or one of"),
        ({"topic": "user:" + "a" * 508, "event": HELLO}, "topic: Ensure this field has no more"),
        ('{"topic":"user:\\ud800","event":{"type":"x"}}', "topic: Surrogate characters are not allowed"),
        ('{"topic":"everyone","event":{"type":"\\ud800"}}', "surrogates not allowed"),
        ({"topic": "everyone", "event": []}, "event: Expected a dictionary"),
        ({"topic": "everyone", "event": {}}, "an event is an object with a text 'type'"),
        ({"topic": "everyone", "event": HELLO, "idempotencyKey": "k"}, "no such field: idempotencyKey"),
        ({"topic": "everyone", "event": HELLO, "idempotency_key": ""}, "idempotency_key: This field may not"),
        ({"topic": "everyone", "event": HELLO, "idempotency_key": 5}, "idempotency_key: Not a valid string."),
        ({"topic": "everyone", "event": HELLO, "idempotency_key": "a\n"}, "a printable text of 1 to 200"),
    ],
)
def test_what_could_not_be_meant_is_a_400_that_says_why(body: object, says: str) -> None:
    status, told = post(body, by=key("*"))
    assert (status, told["code"]) == (400, "bad_request")
    assert says in told["message"]
    assert len(told["message"]) < 1000


@pytest.mark.django_db
def test_a_key_that_is_shown_as_a_token_is_told_how_to_show_it() -> None:
    status, told = post({}, by=key("*").replace("Api-Key", "Bearer"))
    assert (status, told["code"]) == (401, "authentication_failed")
    assert "`Authorization: Api-Key KEY`" in told["message"]


def test_a_path_that_the_api_does_not_have_is_a_404_in_json() -> None:
    assert get("/api/event", by="")[0] == 404
    status, told = post({}, path="/api/event")
    assert (status, told["code"]) == (404, "not_found")
    assert "/api/schema" in told["message"]


@pytest.mark.django_db
def test_what_is_no_json_and_no_post_is_refused() -> None:
    mine = {"Authorization": key("*", kick=True)}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        for path in ("/api/events", "/api/kick"):
            no_json = Client().post(path, "x", content_type=kind, headers=mine)
            assert (no_json.status_code, no_json.json()["code"]) == (415, "bad_request")
            assert "`Content-Type: application/json`" in no_json.json()["message"]
    answer = Client().get("/api/events", headers=mine)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(
    ("block", "address", "is_kept_out"),
    [
        ({"user_id": "ada"}, "192.0.2.7", True),
        ({"user_id": "ada", "network": "192.0.2.0/24"}, "192.0.2.7", True),
        ({"user_id": "ada", "network": "192.0.2.0/24"}, "198.51.100.1", False),
        ({"user_id": "ada", "until": timezone.now() - timedelta(hours=1)}, "192.0.2.7", False),
        ({"user_id": "bob"}, "192.0.2.7", False),
    ],
)
def test_a_blocked_users_token_is_taken_nowhere(
    block: dict[str, Any], address: str, is_kept_out: bool
) -> None:
    permission = Permission.objects.get(codename="list_by_token")
    User.objects.create_user("ada").user_permissions.add(permission)
    Block.objects.create(**block)
    by = {"Authorization": token("ada")}
    answer = Client().get("/api/connections", headers=by, REMOTE_ADDR=address)
    assert answer.status_code == (403 if is_kept_out else 200)
    assert not is_kept_out or answer.json() == {"code": "blocked", "message": "Blocked."}


@pytest.mark.django_db
@pytest.mark.parametrize(("query", "accept"), [("?format=xml", "*/*"), ("", "text/html")])
def test_answers_are_json_whatever_is_asked_for(query: str, accept: str) -> None:
    headers = {"Authorization": key("*"), "Accept": accept}
    event = json.dumps({"topic": "user:ada", "event": HELLO})
    answer = Client().post(f"/api/events{query}", event, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()) == (200, NOBODY)


@pytest.mark.parametrize(
    "sent",
    [
        {"path": "/api/connections?user=%00"},
        {"path": "/api/presence/user:%00"},
        {"path": "/api/events", "headers": {"Host": "elsewhere.example"}},
        {"path": "/api/events", "data": "{}", "content_type": "application/json; charset=utf-16"},
    ],
)
def test_what_no_view_gets_to_see_is_refused_in_json(sent: dict[str, Any]) -> None:
    answer = Client(enforce_csrf_checks=True).post(**sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_mistake_of_ours_is_a_500_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(KeyOrToken, "authenticate", fail)
    by_a_key = {"Authorization": "Api-Key of a game"}
    answer = Client(raise_request_exception=False).get("/api/connections", headers=by_a_key)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


@pytest.mark.django_db
def test_a_redis_that_is_away_is_a_503_that_asks_to_repeat_and_tells_the_log_alone_where_it_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    layer = GatewayChannelLayer(hosts=[{"address": f"redis://127.0.0.1:{port}"}], prefix="gateway")
    monkeypatch.setattr(asking, "get_channel_layer", lambda: layer)
    status, told = post({"topic": "everyone", "event": HELLO}, by=key("*"))
    assert (status, told["code"]) == (503, "redis_away")
    assert told["message"] == (
        "Redis is away, or has not answered in time. "
        "What was to be published may have gone out: repeat it with its idempotency key."
    )
    (line,) = caplog.records
    assert (line.getMessage(), vars(line)["code"]) == ("api: a call failed", "redis_away")
    assert f"127.0.0.1:{port}" in vars(line)["why"]


def test_a_database_that_is_away_is_a_503(
    postgres_database: PostgresServer, postgres: PostgresServer
) -> None:
    mine = key("*")
    postgres.kill()
    status, told = post({"topic": "everyone", "event": HELLO}, by=mine)
    assert (status, told["code"]) == (503, "database_away")
