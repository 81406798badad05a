"""What is forgotten, when, and by which node."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest
from django.contrib.admin.models import DELETION
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from proxy.core.people import NoteKind
from proxy.models import (
    Connection,
    Kick,
    KickReport,
    LinkEvent,
    Node,
    ProgramDeed,
    Refusal,
    Revocation,
    StaffNote,
)
from proxy.tables import retention
from proxy.tables.deeds import a_shell
from proxy.tables.retention import Retention, forget
from proxy.tests.rows import add_connection, add_node, add_refusal

pytestmark = pytest.mark.usefixtures("any_database")
LONG_AGO = timedelta(days=40)


def add_old_rows() -> None:
    long_ago = timezone.now() - LONG_AGO
    add_node("old", stopped_at=long_ago)
    add_node("n1", silent_seconds=1)
    add_connection("old", node_id="old", closed_at=long_ago)
    add_connection("old but live", age_seconds=LONG_AGO.total_seconds())
    add_connection("closed today", closed=True)
    for session_key, left in (("over", -1), ("valid", 1)):
        Session.objects.create(
            session_key=session_key, session_data="", expire_date=timezone.now() + timedelta(days=left)
        )
    for jti, left in (("over", -1), ("remembered", 1)):
        Revocation.objects.create(jti=jti, until=timezone.now() + timedelta(days=left))
    for row_id, at in (("old", long_ago), ("new", timezone.now())):
        LinkEvent.objects.create(id=row_id, connection_id="old but live", kind="failover", at=at)
        for kind in (NoteKind.KICKED, NoteKind.NOTE):
            StaffNote.objects.create(id=f"{row_id} {kind}", user_id="ada", kind=kind.value, at=at, by="vera")
        ProgramDeed.objects.create(who=row_id, at=at)
    for kick_id, age in (("long ago", 2), ("today", 0)):
        kick = Kick.objects.create(id=kick_id, everyone=True, created_at=Now() - timedelta(days=age))
        KickReport.objects.create(kick=kick, node_id="n1", links=1)


def kept() -> list[set[str]]:
    return [
        set(Connection.objects.values_list("pk", flat=True)),
        set(Node.objects.values_list("pk", flat=True)),
        set(Session.objects.values_list("pk", flat=True)),
        set(KickReport.objects.values_list("kick_id", flat=True)),
        set(Revocation.objects.values_list("jti", flat=True)),
        set(LinkEvent.objects.values_list("pk", flat=True)),
        set(StaffNote.objects.values_list("pk", flat=True)),
        set(ProgramDeed.objects.values_list("who", flat=True)),
    ]


KEPT = [
    {"old but live", "closed today"},
    {"n1"},
    {"valid"},
    {"today"},
    {"remembered"},
    {"new"},
    {"new kicked", "new note", "old note"},
    {"new"},
]


def test_old_records_are_forgotten_and_live_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 1)
    add_old_rows()
    add_connection("old too", closed_at=timezone.now() - LONG_AGO)
    add_refusal("old", refused_at=timezone.now() - LONG_AGO)
    add_refusal("new")
    assert forget(30) == {
        "connections": 2,
        "refusals": 1,
        "link_events": 1,
        "staff_deeds": 1,
        "program_deeds": 1,
        "nodes": 1,
        "kicks": 1,
        "revocations": 1,
        "sessions": 1,
    }
    assert kept() == KEPT
    assert Refusal.objects.get().pk == "new"


def test_of_refusals_only_so_many_are_kept_however_young_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "MOST_REFUSALS", 3)
    for age in range(8):
        add_refusal(f"{age}", refused_at=timezone.now() - timedelta(minutes=age))
    assert forget(30)["refusals"] == 5
    assert set(Refusal.objects.values_list("pk", flat=True)) == {"0", "1", "2"}


def test_a_node_that_stopped_long_ago_is_kept_for_as_long_as_one_of_its_links_is() -> None:
    add_node("old", stopped_at=timezone.now() - LONG_AGO)
    add_connection("closed today", node_id="old", closed=True)

    assert not any(forget(30).values())
    assert Connection.objects.get().node == Node.objects.get()
    assert forget(0) == {
        "connections": 1,
        "refusals": 0,
        "link_events": 0,
        "staff_deeds": 0,
        "program_deeds": 0,
        "nodes": 1,
        "kicks": 0,
        "revocations": 0,
        "sessions": 0,
    }


def test_a_node_that_runs_or_stopped_of_late_is_kept_without_any_link() -> None:
    add_node("runs")
    add_node("stopped today", stopped_at=timezone.now())

    assert forget(30)["nodes"] == 0
    assert Node.objects.count() == 2


async def test_the_node_that_has_run_longest_forgets_all_that_is_old_and_no_other_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 1)
    await asyncio.to_thread(add_old_rows)
    await asyncio.to_thread(add_connection, "old too", closed_at=timezone.now() - LONG_AGO)
    await asyncio.to_thread(add_node, "n2")
    assert await Retention(node_id="n2", days=30).forget_if_first() is None
    forgotten = await Retention(node_id="n1", days=30).forget_if_first()
    assert forgotten == {
        "connections": 2,
        "refusals": 0,
        "link_events": 1,
        "staff_deeds": 1,
        "program_deeds": 1,
        "nodes": 1,
        "kicks": 1,
        "revocations": 1,
        "sessions": 1,
    }
    assert (await asyncio.to_thread(kept))[0] == KEPT[0]


async def test_a_round_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, third = list[int](), asyncio.Event()

    async def forget_if_first(self: Retention) -> None:
        rounds.append(1)
        if len(rounds) == 3:
            third.set()
        raise OperationalError("away")

    monkeypatch.setattr(Retention, "forget_if_first", forget_if_first)
    task = asyncio.create_task(Retention(node_id="n1", days=30, round_seconds=0.01).run(), name="retention")
    async with asyncio.timeout(20):
        await third.wait()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("any_database", ["postgresql"], indirect=True)
async def test_a_table_that_is_locked_puts_a_round_off_for_a_minute_and_not_for_an_hour(
    migrated_postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(add_old_rows)
    retention = Retention(node_id="n1", days=30)
    with psycopg.connect(migrated_postgres) as other:
        other.execute("LOCK TABLE proxy_connection")
        assert [await retention.round() for _ in range(2)] == [60, 60]
    assert caplog.text.count("retention: not done") == 1
    assert await retention.round() == 3600
    assert (await asyncio.to_thread(kept))[0] == KEPT[0]


def test_the_command_says_what_it_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    add_old_rows()
    call_command("prune_connections")
    assert (
        capsys.readouterr().out
        == "1 connections, 0 refusals, 1 events of links, 1 staff's deeds, 1 programs' deeds, 1 nodes,"
        " 1 kicks, 1 revocations, 1 sessions deleted\n"
    )
    deed = ProgramDeed.objects.get(kind="proxy.connection")
    assert (deed.who, deed.about, deed.count, deed.flag) == (a_shell(), "older than 30 days", 8, DELETION)
    assert deed.said == (
        "Forgot what is older than 30 days: 1 connections, 1 events of links, 1 staff's deeds,"
        " 1 programs' deeds, 1 nodes deleted; and what is over: 1 kicks, 1 revocations, 1 sessions deleted."
    )
    call_command("prune_connections", "--days=1e3", "--reason", "the disk is full")
    newest = ProgramDeed.objects.latest("pk")
    assert newest.said == "Forgot what is older than 1000 days: nothing was deleted. the disk is full"
    assert newest.reason == "the disk is full"
    with pytest.raises(CommandError, match="--days"):
        call_command("prune_connections", "--days=-1")
