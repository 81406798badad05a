"""POST /api/revoke: who may take which tokens back, and what these open from then on."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User

from proxy.models import Revocation
from proxy.rest.tests.calling import get, key, post, token

PATH = "/api/revoke"
MINUTE_AGO = int(time.time()) - 60


@pytest.mark.usefixtures("any_database")
def test_a_key_that_may_revoke_does_and_the_row_names_it() -> None:
    mine = key(revoke=True)
    status, told = post({"user": "ada", "reason": "she asked for it"}, by=mine, path=PATH)
    assert (status, told["user"]) == (200, "ada")
    row = Revocation.objects.get()
    assert row.source.startswith("key game (")
    assert row.issued_before is not None
    assert datetime.fromisoformat(told["issued_before"]) == row.issued_before
    assert datetime.fromisoformat(told["until"]) == row.until
    assert post({"jti": "a-b-c"}, by=mine, path=PATH)[1].keys() == {"jti", "until"}
    for before in (MINUTE_AGO, datetime.fromtimestamp(MINUTE_AGO, UTC).isoformat()):
        status, told = post({"issued_before": before}, by=mine, path=PATH)
        assert (status, datetime.fromisoformat(told["issued_before"]).timestamp()) == (200, MINUTE_AGO)


@pytest.mark.usefixtures("any_database")
def test_a_revoked_token_opens_nothing_here_either_and_a_newer_one_does() -> None:
    permission = Permission.objects.get(codename="revoke_by_token")
    User.objects.create_user("ada").user_permissions.add(permission)
    old = token("ada", iat=MINUTE_AGO)
    assert post({"user": "ada"}, by=old, path=PATH)[0] == 200
    status, told = post({"user": "bob"}, by=old, path=PATH)
    assert (status, told) == (401, {"code": "token_revoked", "message": "The token was revoked."})
    new = token("ada", iat=int(time.time()) + 1)
    assert post({"user": "bob"}, by=new, path=PATH)[0] == 200
    assert Revocation.objects.filter(source="user ada").count() == 2


@pytest.mark.django_db
def test_who_may_kick_may_not_revoke() -> None:
    status, told = post({"user": "ada"}, by=key("*", kick=True), path=PATH)
    assert (status, told["code"]) == (403, "forbidden")
    assert get(PATH, by=key(revoke=True))[0] == 405
    assert not Revocation.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "Name a user"),
        ({"user": ""}, "may not be blank"),
        ({"user": 42}, "user: Not a valid string."),
        ({"user": "ada", "jti": "x"}, "says it all"),
        ({"user": "ada", "issued_before": "soon"}, "issued_before: Datetime has wrong format"),
        ({"user": "ada", "issued_before": True}, "issued_before: Datetime has wrong format"),
        ({"issued_before": 4_000_000_000}, "Not a time to come"),
        ({"issued_before": 1_700_000_000_000}, "issued_before: Datetime has wrong format"),
        ({"users": ["ada"]}, "no such field: users"),
        ([], "Expected a dictionary"),
    ],
)
def test_what_could_not_be_meant_takes_nothing_back(body: object, says: str) -> None:
    status, told = post(body, by=key(revoke=True), path=PATH)
    assert (status, told["code"]) == (400, "bad_request")
    assert says in told["message"]
    assert not Revocation.objects.exists()
