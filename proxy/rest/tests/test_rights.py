"""Who may do what: every path and method of staff's, for every kind of caller."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from proxy.core.limits import Rate
from proxy.core.rights import OF_STAFF
from proxy.rest import rates
from proxy.rest.rates import UserRate
from proxy.rest.staff_view import StaffApiView
from proxy.rest.tests.calling import key, may, token
from proxy.rest.urls import urlpatterns
from proxy.tables.token_permissions import make_permissions

pytestmark = pytest.mark.django_db

BY_TOKEN = {"view_connection": "list", "kick_connection": "kick", "revoke_tokens": "revoke"}
ALL = (*BY_TOKEN, *OF_STAFF)
REFUSED = {401, 403, 405}
PROXYS = Permission.objects.filter(content_type__app_label="proxy")


class Door(NamedTuple):
    """A method of a path, and the right that it needs."""

    method: str
    path: str
    right: str


def doors() -> list[Door]:
    found = []
    for each in urlpatterns:
        path = f"/api/{each.pattern}".replace("<path:topic>", "everyone").replace("<path:user_id>", "ada")
        needs = getattr(getattr(each.callback, "cls", None), "needs", {})
        found += [Door(method, path, right) for method, right in needs.items()]
    return found


def call(door: Door, client: Client | None = None, **headers: str) -> int:
    client = client or Client(enforce_csrf_checks=True)
    data: dict[str, Any] = {"data": {}, "content_type": "application/json"} if door.method == "POST" else {}
    return int(getattr(client, door.method.lower())(door.path, headers=headers, **data).status_code)


def permitted(codename: str, name: str = "ada", **values: Any) -> User:
    user = User.objects.create_user(name, **values)
    user.user_permissions.set(PROXYS.filter(codename=codename))
    return user


def logged_in(user: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def csrf(client: Client) -> dict[str, str]:
    client.cookies["csrftoken"] = secret = "c" * 32
    return {"X-CSRFToken": secret}


every_door = pytest.mark.parametrize("door", doors(), ids=str)


def test_every_right_opens_something() -> None:
    shown_elsewhere = {"view_staffnote"}  # a part of people's stories
    assert {door.right for door in doors()} == {*ALL} - shown_elsewhere


@every_door
def test_who_shows_nothing_is_told_what_would_do(door: Door) -> None:
    assert call(door) == 401
    assert call(door, logged_in(User.objects.create_user("player"))) == 401


@every_door
def test_a_key_needs_that_very_right(door: Door) -> None:
    assert call(door, Authorization=may(door.right)) not in REFUSED
    assert call(door, Authorization=may(*{*ALL} - {door.right})) == 403
    assert call(door, Authorization=key("*")) == 403


@every_door
def test_a_users_token_needs_the_permission_that_is_for_tokens(door: Door) -> None:
    make_permissions("default")
    permitted(f"{BY_TOKEN.get(door.right, door.right)}_by_token")
    assert call(door, Authorization=token("ada")) not in REFUSED
    permitted(door.right, "eve")  # that of admin alone
    assert call(door, Authorization=token("eve")) == 403


@every_door
def test_a_session_of_staff_needs_the_permission_of_admin(door: Door) -> None:
    client = logged_in(permitted(door.right, is_staff=True))
    assert call(door, client, **csrf(client)) not in REFUSED
    eve = permitted("", "eve", is_staff=True)
    eve.user_permissions.set(PROXYS.exclude(codename=door.right))
    client = logged_in(eve)
    assert call(door, client, **csrf(client)) == 403


@pytest.mark.parametrize("door", [door for door in doors() if door.method == "POST"], ids=str)
def test_a_session_does_nothing_without_its_csrf_token(door: Door) -> None:
    user = permitted("", is_staff=True, is_superuser=True)
    assert call(door, logged_in(user)) == 403
    client = logged_in(user)
    assert call(door, client, **csrf(client)) not in REFUSED


@every_door
def test_other_methods_are_405(door: Door) -> None:
    other = {"GET": "POST", "POST": "PUT"}[door.method]
    allowed = {each.method for each in doors() if each.path == door.path}
    by = may(*ALL)
    assert other in allowed or call(door._replace(method=other), Authorization=by) == 405
    assert call(door._replace(method="DELETE"), Authorization=by) == 405


def test_who_is_refused_too_often_is_told_so_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REFUSED", UserRate(lambda: Rate(2, 3600)))
    lame, other, good = may("view_node"), may("view_block"), may(*ALL)
    kick, events = Door("POST", "/api/kick", ""), Door("POST", "/api/events", "")
    assert [call(kick, Authorization=lame) for _ in range(3)] == [403, 403, 429]
    assert call(Door("GET", "/api/connections", ""), Authorization=lame) == 429  # which has no rate otherwise
    assert call(Door("GET", "/api/nodes", ""), Authorization=lame) == 200
    assert call(kick, Authorization=other) == 403

    wrong = f"{good[:-3]}xyz"
    assert [call(each, Authorization=wrong) for each in (kick, events, kick)] == [401, 401, 429]
    answer = Client().post("/api/tickets", headers={"Authorization": "Bearer no"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["bound"]) == (429, "too_many", "refused_calls")
    assert told["message"] == "Too many refused calls of one caller or address: at most 2/h."
    assert int(answer.headers["Retry-After"]) > 1000
    assert call(kick, Authorization=good) == 400
    assert call(kick, Authorization=other) == 403
    assert call(kick, Client(REMOTE_ADDR="192.0.2.9"), Authorization=wrong) == 401


def test_an_expired_token_is_told_so_while_its_address_is_bounced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REFUSED", UserRate(lambda: Rate(1, 3600)))
    door, old = Door("GET", "/api/nodes", ""), token("ada", exp=int(time.time()) - 3600)
    assert [call(door, Authorization="Bearer no") for _ in range(2)] == [401, 429]
    assert [call(door, Authorization=old) for _ in range(2)] == [401, 429]
    assert call(door, Authorization=token("bob", exp=int(time.time()) - 3600)) == 401


def test_whoever_calls_too_often_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("read_rate", "deed_rate"):
        monkeypatch.setattr(StaffApiView, name, UserRate(lambda: Rate(1, 3600)))
    mine, other = may(*ALL), may(*ALL)
    for door in (Door("GET", "/api/nodes", ""), Door("POST", "/api/kick", "")):
        assert call(door, Authorization=mine) != 429
        answer = Client().generic(door.method, door.path, headers={"Authorization": mine})
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
        assert int(answer.headers["Retry-After"]) > 3000
        assert call(door, Authorization=other) != 429
    assert call(Door("GET", "/api/connections", ""), Authorization=mine) == 200
