"""The page of revocations: what staff take back, with which right, and what is noted of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from proxy.cluster.revocations import revoke
from proxy.models import Revocation
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.django_db
LIST = "/admin/proxy/revocation/"
ADD = f"{LIST}add/"


def words(**named: str) -> dict[str, str]:
    empty = dict.fromkeys(("user_id", "jti", "issued_before_0", "issued_before_1", "word"), "")
    return {**empty, "reason": "a lost phone", **named}


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def test_who_may_revoke_does_with_a_reason_and_is_named() -> None:
    client = staff("revoke_tokens", "view_revocation", "view_connection")
    add_connection("a", user_id="bo b")
    page = client.get("/admin/proxy/connection/a/change/").content.decode()
    assert f"{ADD}?user_id=bo%20b" in page
    assert 'value="bo b"' in client.get(f"{ADD}?user_id=bo%20b").content.decode()
    assert client.post(ADD, words(user_id="bo b")).status_code == 302
    row = Revocation.objects.get()
    assert (row.user_id, row.jti, row.reason, str(row.created_by)) == ("bo b", "", "a lost phone", "ada")
    assert row.issued_before is not None
    assert LogEntry.objects.get().action_flag == ADDITION
    page = client.get(LIST).content.decode()
    assert all(word in page for word in ("bo b", "a lost phone", "ada"))


@pytest.mark.parametrize(
    ("posted", "says"),
    [
        (words(), "Name a user, a token id or a time."),
        (words(user_id="bob", jti="x"), "A token id says it all"),
        (words(user_id="bob", reason=""), "This field is required."),
        (words(issued_before_0="2026-01-01", issued_before_1="00:00"), "This is everybody"),
        (words(user_id="bob", issued_before_0="2999-01-01", issued_before_1="00:00"), "Not a time to come"),
    ],
)
def test_what_could_not_be_meant_takes_nothing_back(
    admin_client: Client, posted: dict[str, str], says: str
) -> None:
    answer = admin_client.post(ADD, posted)
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert not Revocation.objects.exists()


def test_an_id_with_a_blank_at_its_end_is_not_that_of_somebody_else(admin_client: Client) -> None:
    assert admin_client.post(ADD, words(user_id="ada ")).status_code == 302
    assert Revocation.objects.get().user_id == "ada "


def test_everybodys_are_taken_back_once_the_word_is_typed(admin_client: Client) -> None:
    posted = words(issued_before_0="2026-01-01", issued_before_1="00:00", word=" Everyone")
    assert admin_client.post(ADD, posted).status_code == 302
    assert str(Revocation.objects.get()) == "tokens of everybody issued before 2026-01-01 00:00:00"


@pytest.mark.parametrize(
    "may", [(), ("view_revocation",), ("add_block", "view_connection", "kick_connection")]
)
def test_who_may_not_revoke_can_not(may: tuple[str, ...]) -> None:
    client = staff(*may)
    row = revoke(user="bob", by="key game (1)")
    add_connection("a", user_id="bob")
    assert client.get(ADD).status_code == client.post(ADD, words(user_id="eve")).status_code == 403
    assert "Revoke tokens" not in client.get("/admin/proxy/connection/a/change/").content.decode()
    sees = 200 if "view_revocation" in may else 403
    assert [client.get(path).status_code for path in (LIST, f"{LIST}{row.pk}/change/")] == [sees, sees]
    assert Revocation.objects.count() == 1


def test_nobody_changes_or_deletes_one(admin_client: Client) -> None:
    row = revoke(jti="a-b-c")
    posted: dict[str, Any] = words(jti="x")
    assert admin_client.post(f"{LIST}{row.pk}/change/", posted).status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "a-b-c" in admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
