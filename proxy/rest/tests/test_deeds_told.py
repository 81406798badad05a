"""What the audit tells of a deed is the same, by whichever door it came: a key, a session, admin, Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from proxy.cluster.kicks import kick
from proxy.models import Block, Kick, StaffNote
from proxy.rest.tests.calling import may, post
from proxy.rest.tests.test_deeds import ALL, WHY, add_links
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.usefixtures("any_database")
Doors = Callable[..., list[Any]]


@pytest.fixture
def doors(client: Client) -> Doors:
    """Does the same by a session of staff and by a key: what each was answered."""
    client.force_login(User.objects.create_superuser("vera"))
    by_key = may(*ALL, "kick_connection", "revoke_tokens")

    def do(path: str, **body: Any) -> list[Any]:
        answer = client.post(f"/api/{path}", body, content_type="application/json")
        code, told = post(body, by=by_key, path=f"/api/{path}")
        assert {code, answer.status_code} <= {200, 201}, (told, answer.content)
        return [answer.json(), told]

    return do


def entries(client: Client, *names: str) -> list[tuple[Any, ...]]:
    told = client.get("/api/audit").json()["results"]
    return [tuple(each[name] for name in names) for each in told]


def test_the_reason_of_a_deed_is_told_apart_whoever_did_it(client: Client, doors: Doors) -> None:
    add_links()
    doors("block", user_id="ada", until=None, reason=WHY)
    doors("message", text="Hello", filter={"route": "game"}, reason=WHY)
    doors("kick", user_ids=["bob"], reason=WHY)
    doors("revoke", user="ada", reason=WHY)
    client.post("/admin/proxy/block/add/", {"user_id": "eve", "lasts": "good", "reason": WHY})
    kick(user_ids=["bob"], reason=WHY)
    told = client.get("/api/audit").json()["results"]
    assert [each["reason"] for each in told] == [WHY] * 10
    assert {each["found_by"] for each in told if each["said"].startswith("Told")} == {"route=game"}
    assert all(each["count"] >= 2 for each in told if each["said"].startswith("Kicked"))


def test_a_block_counts_the_links_that_it_hits_and_its_lifting_one_row(client: Client, doors: Doors) -> None:
    add_connection("a", user_id="ada", client_address="192.0.2.7")
    placed = doors("block", user_id="ada", until=None, reason=WHY)
    add = "/admin/proxy/block/add/"
    client.post(add, {"user_id": "ada", "network": "192.0.2.7", "lasts": "good", "reason": WHY})
    by_admin = Block.objects.get(network="192.0.2.7/32")
    change = {"user_id": "eve", "network": "192.0.2.7", "lasts": "good", "reason": WHY}
    client.post(f"/admin/proxy/block/{by_admin.pk}/change/", change)
    counts = entries(client, "done", "count", "reason")
    assert counts == [("changed", 0, WHY), *[("added", 1, WHY)] * 3]

    for each in placed:
        post({"id": each["block"]["id"], "reason": WHY}, by=may("delete_block"), path="/api/lift")
    deleted = {"post": "yes", "confirmed": "1", "reason": WHY}
    client.post(f"/admin/proxy/block/{by_admin.pk}/delete/", deleted)
    assert not Block.objects.exists()
    assert entries(client, "done", "count", "reason")[:-4] == [("deleted", 1, WHY)] * 3


def test_a_note_is_added_and_deleted_with_its_text_as_the_reason(client: Client, doors: Doors) -> None:
    notes = doors("notes", user_id="ada", text="called us")
    client.post("/admin/proxy/person/ada/", {"text": "called us"})
    assert entries(client, "done", "count", "reason") == [("added", 1, "called us")] * 3
    for each in notes:
        post({"id": each["id"], "reason": WHY}, by=may("delete_staffnote"), path="/api/notes/delete")
    client.post("/admin/proxy/person/ada/", {"delete_note": StaffNote.objects.get().pk})
    by_admin, *by_keys = entries(client, "done", "count", "reason")[:3]
    assert (by_admin, by_keys) == (("deleted", 1, ""), [("deleted", 1, WHY)] * 2)


def test_nobody_is_said_to_have_given_a_reason_who_gave_none(client: Client, doors: Doors) -> None:
    add_connection("a", user_id="ada")
    doors("kick", user_ids=["ada"])
    kick(user_ids=["ada"])
    assert (
        entries(client, "count", "reason", "said")
        == [(1, "", "Kicked 1 connection: no reason given (a)")] * 3
    )
    assert {*StaffNote.objects.values_list("text", flat=True)} == {""}
    assert {*Kick.objects.values_list("reason", flat=True)} == {"kicked by staff"}, "as clients are told"
