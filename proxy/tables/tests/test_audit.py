"""What programs and shells did stands in the audit beside what staff did."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from proxy.cluster.kicks import kick
from proxy.cluster.revocations import revoke
from proxy.models import Block, Connection, Deed, ProgramDeed
from proxy.tables import audit
from proxy.tables.audit import Asked, Entries, Place, page
from proxy.tables.deeds import Details, a_shell, note_deed
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.usefixtures("any_database")


def add(said: str, *, by: str = "", minutes_ago: int = 0, **details: object) -> None:
    """Something that a program did, or staff without a name of one."""
    who = by or User.objects.get_or_create(username="vera")[0]
    note_deed(who, Block, said, about=f"about {said}", object_id="7", details=Details(**details))  # type: ignore[arg-type]
    at = timezone.now() - timedelta(minutes=minutes_ago)
    if by:
        ProgramDeed.objects.filter(said=said).update(at=at)
    else:
        Deed.objects.filter(change_message=said).update(action_time=at)


def add_some() -> None:
    add("a", minutes_ago=50)
    add("b", by="key game (1)", minutes_ago=40, flag=ADDITION, count=3, reason="why", found_by="route=x")
    add("c", by="shell: root", minutes_ago=30)
    add("d", minutes_ago=20, flag=DELETION)
    add("e", by="key game (1)", minutes_ago=10)


def said(asked: Asked, most: int = 10) -> str:
    return "".join(each.change_message for each in page(asked, most=most).entries)


def test_both_are_one_list_by_time_and_each_page_goes_on_where_the_last_one_ended() -> None:
    add_some()
    assert said(Asked()) == "edcba"
    told, below = "", None
    while True:
        some = page(Asked(), below=below, most=2)
        told += "".join(each.change_message for each in some.entries)
        if some.older is None:
            break
        below = Place.parse(str(some.older))
    assert told == "edcba"
    assert [each.change_message for each in Entries(Asked())[1:3]] == ["d", "c"]
    assert (Entries(Asked()).counted(10), Entries(Asked()).counted(2)) == (5, 4)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(who="vera"), "da"),
        (Asked(who="key game (1)"), "eb"),
        (Asked(kind="proxy.block"), "edcba"),
        (Asked(kind="proxy.node"), ""),
        (Asked(flag=CHANGE), "eca"),
        (Asked(flag=DELETION), "d"),
        (Asked(text='"about b"'), "b"),
        (Asked(text="about 7"), "edcba"),
        (Asked(text="about nothing"), ""),
    ],
)
def test_entries_of_both_are_found_by_the_same_filters(asked: Asked, found: str) -> None:
    add_some()
    assert said(asked) == found


def test_entries_are_found_by_when_they_were_made() -> None:
    add_some()
    assert said(Asked(since=timezone.now() - timedelta(minutes=25))) == "ed"


def test_an_entry_of_a_program_has_its_count_reason_and_filter() -> None:
    add_some()
    (entry,) = page(Asked(text='"about b"'), most=10).entries
    assert (entry.user.get_username(), entry.count, entry.reason) == ("key game (1)", 3, "why")
    assert (entry.found_by, entry.is_of_program, entry.content_type.name) == ("route=x", True, "block")  # type: ignore[union-attr]
    same = audit.entry(entry.pk)
    assert same is not None
    assert same.change_message == "b"
    assert audit.entry(-10_000) is audit.entry(10_000) is None


def test_a_page_costs_the_same_however_many_entries_there_are() -> None:
    add_some()
    with CaptureQueriesContext(connection) as few:
        page(Asked(), most=2)
    for number in range(20):
        add(f"more {number}", by="key game (1)")
    with CaptureQueriesContext(connection) as many:
        assert len(page(Asked(), most=25).entries) == 25
    assert len(few) <= len(many) == 4


def test_what_is_no_place_is_none() -> None:
    for text in ("", "1", "a-b", "-1-2", "1-2-3", "1" * 21 + "-1", "²-1"):
        with pytest.raises(ValueError, match="place"):
            Place.parse(text)


def test_a_kick_and_a_revocation_of_a_program_are_one_entry_each() -> None:
    add_connection("a", user_id="42")
    add_connection("b", user_id="42")
    kick(user_ids=["42"], reason="spam", by="key game (1)", found_by="user=42")
    revoke(user="42", reason="stolen", by="user ada")
    revoked, kicked = page(Asked(), most=10).entries
    assert kicked.change_message == "Kicked 2 connections: spam (a, b; found by user=42)"
    assert (kicked.count, kicked.reason, kicked.found_by) == (2, "spam", "user=42")
    assert revoked.change_message.startswith("Revoked tokens of 42 issued before ")
    assert revoked.change_message.endswith(": stolen")
    assert (revoked.user.get_username(), revoked.action_flag) == ("user ada", ADDITION)


def test_a_kick_of_staff_stays_in_the_admin_log_alone() -> None:
    kick(user_ids=["42"], by=User.objects.create_user("vera"))
    assert Deed.objects.count() == 1
    assert not ProgramDeed.objects.exists()


def test_who_did_it_from_a_shell_is_named_by_the_systems_user() -> None:
    node = add_node("n1")
    call_command("kick", "--user", "42", "--reason", "spam")
    call_command("revoke", "--user", "42")
    assert {row.who for row in ProgramDeed.objects.all()} == {a_shell()}
    assert a_shell().startswith("shell: ")
    assert ProgramDeed.objects.count() == 2
    assert node is not None


def test_an_entry_is_as_long_as_its_columns() -> None:
    more = Details(reason="r" * 999, found_by="f" * 999)
    note_deed("w" * 999, Connection, "s" * 9_999, about="a" * 999, object_id="o" * 999, details=more)
    row = ProgramDeed.objects.get()
    lengths = [len(text) for text in (row.who, row.about, row.object_id, row.reason, row.found_by, row.said)]
    assert lengths == [128, 200, 255, 255, 255, 9_999]
