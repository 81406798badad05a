"""The audit: what staff did, by whom, to what, when; and all of it as a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import timezone

from proxy.admin import audit
from proxy.admin.tests.test_admin import log_in
from proxy.models import Block, Connection, Deed, ProgramDeed
from proxy.tables.deeds import Details, note_deed
from proxy.tests.rows import add_connection

LIST = "/admin/proxy/deed/"


def add(said: str, *, by: str = "bob", model: type = Block, flag: int = CHANGE, days_ago: float = 0) -> None:
    user, _ = User.objects.get_or_create(username=by)
    at = timezone.now() - timedelta(days=days_ago)
    kind = ContentType.objects.get_for_model(model)
    values = {"object_id": "7", "object_repr": f"what {said}", "change_message": said}
    LogEntry.objects.create(user=user, action_time=at, content_type=kind, action_flag=flag, **values)


def listed(client: Client, query: str = "") -> list[str]:
    page = client.get(f"{LIST}?{query}").content.decode()
    return re.findall(r'title="what (\w+)"', page)


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["d", "c", "b", "a"]),
        ("who=bob", ["d", "c", "a"]),
        ("what=proxy.connection", ["c"]),
        ("done=deleted", ["d"]),
        ("when=day", ["d", "c"]),
        ("when=week&who=carol", ["b"]),
        ("q=c", ["c"]),
        ("q=7", ["d", "c", "b", "a"]),
        ("what=no.such", []),
    ],
)
def test_deeds_are_found_by_who_what_and_when(client: Client, query: str, found: list[str]) -> None:
    staff = log_in(client, "view_deed")
    add("a", days_ago=40, flag=ADDITION)
    add("b", by="carol", days_ago=3)
    add("c", model=Connection)
    add("d", flag=DELETION)
    assert listed(staff, query) == found


@pytest.mark.django_db
def test_a_block_is_told_with_its_reason_and_count_also_when_it_is_gone(client: Client) -> None:
    staff = log_in(client, "view_deed", "add_block", "delete_block", "view_block")
    add_connection("a", user_id="42")
    assert staff.post("/admin/proxy/block/add/", {"user_id": "42", "lasts": "good", "reason": "spam"})
    row = Block.objects.get()
    lift = f"/admin/proxy/block/{row.pk}/delete/"
    assert "This field is required." in staff.post(lift, {"confirmed": "yes"}).content.decode()
    staff.post(lift, {"confirmed": "yes", "reason": "a mistake"})

    assert not Block.objects.exists()
    page = staff.get(LIST).content.decode()
    assert "Blocked for good, 1 live link: spam" in page
    assert "Lifted: a mistake" in page
    assert [row[6:] for row in exported(staff)[1:]] == [["1", "a mistake", ""], ["1", "spam", ""]]
    deed = Deed.objects.get(action_flag=DELETION)
    assert ">42<" in staff.get(f"{LIST}{deed.pk}/change/").content.decode()


@pytest.mark.django_db
def test_who_has_done_something_cannot_be_deleted(admin_client: Client) -> None:
    add("a", by="bob")
    bob, new = User.objects.get(username="bob"), User.objects.create_user("new")
    for user in (bob, new):
        admin_client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})
    form = {"action": "delete_selected", "_selected_action": bob.pk, "post": "yes"}
    assert "What bob did" in admin_client.post("/admin/auth/user/", form).content.decode()
    assert set(User.objects.values_list("username", flat=True)) == {"admin", "bob"}


def exported(client: Client, query: str = "") -> list[list[str]]:
    answer: Any = client.get(f"{LIST}export/?{query}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"

    async def read() -> str:
        return "".join([part.decode() async for part in answer.streaming_content])

    return list(csv.reader(io.StringIO(async_to_sync(read)(), newline=""), strict=True))


@pytest.mark.usefixtures("any_database")
def test_a_file_has_what_the_list_has_and_no_formula(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_ROWS_AT_ONCE", 2)
    for number in range(5):
        add(f"=cmd|{number}")
    add("other", by="=carol")

    heading, *rows = exported(log_in(client, "view_deed"), "who=bob")
    assert heading == ["when", "who", "kind", "id", "what", "did", "count", "reason", "found_by"]
    assert [row[1:] for row in rows] == [
        ["bob", "block", "7", f"what =cmd|{number}", f"'=cmd|{number}", "", "", ""]
        for number in (4, 3, 2, 1, 0)
    ]


@pytest.mark.usefixtures("any_database")
def test_a_file_ends_at_its_bound(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(audit, "MOST_EXPORTED", 3)
    for number in range(5):
        add(f"a{number}")
    assert [row[5] for row in exported(log_in(client, "view_deed"))[1:]] == ["a4", "a3", "a2"]


@pytest.mark.django_db
def test_a_file_of_a_filter_that_is_none_is_a_400(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}export/?email__regex=(").status_code == 400


@pytest.mark.usefixtures("any_database")
def test_what_programs_did_is_on_the_same_page_and_in_the_file(client: Client) -> None:
    staff = log_in(client, "view_deed")
    add("staffs")
    note_deed("key game (1)", Connection, "Kicked 2 connections: spam", about="what key", object_id="a")
    assert listed(staff) == ["key", "staffs"]
    assert listed(staff, "who=key+game+(1)") == ["key"]
    assert listed(staff, "what=proxy.connection") == ["key"]
    assert "key game (1)" in staff.get(LIST).content.decode()
    assert [row[1:] for row in exported(staff, "q=spam")[1:]] == [
        ["key game (1)", "connection", "a", "what key", "Kicked 2 connections: spam", "", "", ""]
    ]
    page = staff.get(f"{LIST}-{ProgramDeed.objects.get().pk}/change/").content.decode()
    assert "Kicked 2 connections: spam" in page
    assert "/admin/proxy/connection/a/change/" in page
    assert staff.get(f"{LIST}-999999/change/").status_code == 302
    assert staff.get(f"{LIST}nonsense/change/").status_code == 302


@pytest.mark.django_db
def test_many_entries_are_paged_and_a_page_that_there_is_not_leads_to_the_first(client: Client) -> None:
    staff = log_in(client, "view_deed")
    for number in range(60):
        add(f"s{number}")
        note_deed(f"key {number}", Block, "did", about=f"what p{number}")
    assert len(listed(staff)) == 100
    assert len(listed(staff, "p=2")) == 20
    assert staff.get(f"{LIST}?p=3").status_code == 302


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("query", ["", "who=bob", "what=proxy.block&done=changed&when=day&q=a", "p=2"])
def test_a_page_of_the_audit_takes_ten_queries(
    client: Client, query: str, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    """Those of session, user and permissions included."""
    staff = log_in(client, "view_deed")
    for number in range(120):
        add(f"a{number}", model=(Block, Connection)[number % 2])
        note_deed(f"key game ({number})", Connection, f"b{number}", about="what", details=Details(count=2))
    staff.get(LIST)
    with django_assert_max_num_queries(10):
        assert staff.get(f"{LIST}?{query}").status_code == 200


@pytest.mark.django_db
def test_an_entry_has_no_history_of_its_own(client: Client) -> None:
    staff = log_in(client, "view_deed")
    add("a")
    page = staff.get(f"{LIST}{Deed.objects.get().pk}/change/").content.decode()
    assert "what a" in page
    assert "historylink" not in page
    assert "object-tools" not in page
