import asyncio
import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from proxy.cluster import kicks
from proxy.cluster.kicks import KickNotSent, kick
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import ALL_NODES
from proxy.core.topics import group_name
from proxy.models import Connection, Kick, KickReport
from proxy.tables.deeds import a_shell
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What was sent, by topic."""
    messages: dict[str, dict[str, Any]] = {}

    async def send_to_topic(topic: str, message: dict[str, Any]) -> None:
        messages[topic] = message

    monkeypatch.setattr(kicks, "send_to_topic", send_to_topic)
    monkeypatch.setattr(kicks, "reaches_other_processes", lambda: True)
    return messages


@pytest.fixture
def redis_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(topic: str, message: dict[str, Any]) -> None:
        raise LayerAway("connection refused")

    monkeypatch.setattr(kicks, "send_to_topic", away)


@pytest.fixture
def database_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **values: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(Kick, "save", away)


def test_a_kick_of_a_user_goes_to_the_users_topic_and_is_written_down(sent: dict[str, Any]) -> None:
    kick(user_ids=["42"], reason="cheating")

    row = Kick.objects.get()
    assert (row.user_ids, row.connection_ids, row.everyone, row.reason) == (["42"], [], False, "cheating")
    assert sent["user:42"] == {
        "type": "gateway.close",
        "kick": row.pk,
        "code": 4001,
        "reason": "cheating",
        "closed_by": "staff",
    }
    assert sent["node:all"] == {"type": "gateway.kicks"}


def test_a_kick_of_connections_goes_to_each(sent: dict[str, Any]) -> None:
    kick(connection_ids=["open", "just opened"])

    assert set(sent) == {"connection:open", "connection:just opened", "node:all"}
    assert sent["connection:open"]["reason"] == "kicked by staff"
    assert Kick.objects.get().connection_ids == ["just opened", "open"]


def test_everyone_is_kicked_with_one_message(sent: dict[str, Any]) -> None:
    kick(everyone=True)
    assert set(sent) == {"everyone", "node:all"}
    assert Kick.objects.get().everyone


def test_a_reason_is_clipped_to_what_a_close_frame_holds(sent: dict[str, Any]) -> None:
    kick(everyone=True, reason="é\n" * 200)

    reason = sent["everyone"]["reason"]
    assert len(reason.encode()) <= 123
    assert "\n" not in reason


@pytest.mark.parametrize(
    "whom",
    [{}, {"user_ids": ["1"], "everyone": True}, {"user_ids": [""]}, {"connection_ids": [7]}],
)
def test_a_kick_must_name_somebody_or_everyone(sent: dict[str, Any], whom: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"kick somebody|a text"):
        kick(**whom)
    assert not sent


def test_a_kick_by_a_person_is_one_entry_of_the_admin_log_with_count_reason_and_filter(
    sent: dict[str, Any],
) -> None:
    ada = User.objects.create_user("ada")
    for number in range(30):
        add_connection(f"c{number:02}", user_id="42")
    kick(user_ids=["42"], reason="cheating", by=ada, found_by="route=game")
    kick(connection_ids=["c00"], by=ada)

    one, many = LogEntry.objects.order_by("-object_id")
    named = ", ".join(f"c{number:02}" for number in range(20))
    said = f"Kicked 30 connections: cheating ({named} and more; found by route=game)"
    assert (many.user, many.object_id, many.object_repr, many.change_message) == (ada, "", "42", said)
    assert (one.object_id, one.object_repr) == ("c00", "42 on game (c00)")
    assert one.change_message == "Kicked 1 connection: no reason given (c00)"


def test_links_that_end_as_soon_as_they_are_told_are_in_the_admin_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_connection("a", user_id="42")

    async def end_at_once(topic: str, message: dict[str, Any]) -> None:
        await sync_to_async(Connection.objects.update)(closed_at=timezone.now())

    monkeypatch.setattr(kicks, "send_to_topic", end_at_once)
    kick(user_ids=["42"], by=User.objects.create_user("ada"))
    assert "Kicked 1 connection: no reason given (a)" in LogEntry.objects.get().change_message


def test_nodes_are_told_before_the_database_is_asked_for_anything(sent: dict[str, Any]) -> None:
    ada, told = User.objects.create_user("ada"), list[bool]()

    def look(execute: Any, *query: Any) -> Any:
        told.append("user:42" in sent)
        return execute(*query)

    with connection.execute_wrapper(look):
        kick(user_ids=["42"], by=ada)
    assert told
    assert all(told)


def test_links_that_closed_before_a_kick_or_opened_after_it_are_not_in_the_admin_log(
    sent: dict[str, Any],
) -> None:
    now = timezone.now()
    for connection_id, opened_seconds, closed_seconds in (
        ("closed", -60, -10), ("closed just now", -60, 0), ("live", -60, None), ("back", 10, None),
    ):  # fmt: skip
        add_connection(connection_id, user_id="42")
        closed_at = None if closed_seconds is None else now + timedelta(seconds=closed_seconds)
        opened_at = now + timedelta(seconds=opened_seconds)
        Connection.objects.filter(pk=connection_id).update(opened_at=opened_at, closed_at=closed_at)
    kick(user_ids=["42"], by=User.objects.create_user("ada"))
    assert "(closed just now, live)" in LogEntry.objects.get().change_message


def test_an_admin_log_that_takes_nothing_costs_no_kick(
    sent: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*args: Any, **values: Any) -> None:
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(LogEntry.objects, "create", away)
    add_connection("a", user_id="42")
    kick(user_ids=["42"], by=User.objects.create_user("ada"))
    assert set(sent) == {"user:42", "node:all"}
    assert Kick.objects.get().user_ids == ["42"]
    assert "not in the audit" in caplog.text


def test_a_kick_from_a_shell_is_logged_with_whom_it_is_for(
    sent: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kick(user_ids=["42"], reason="cheating")
    kick(connection_ids=map(str, range(1000)))
    kick(everyone=True)
    some, many, everyone = [vars(line) for line in caplog.records if line.message == "kick"]
    assert (some["by"], some["user_ids"], some["reason"]) == (a_shell(), ["42"], "cheating")
    assert (len(many["connection_ids"]), many["connection_ids_in_all"]) == (20, 1000)
    assert everyone["everyone"] is True


def test_that_redis_keeps_silent_is_logged_with_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def silent(topic: str, message: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(kicks, "send_to_topic", silent)
    monkeypatch.setattr(kicks, "SEND_TIMEOUT_SECONDS", 0.01)
    kick(user_ids=["42"])
    (line,) = [vars(line) for line in caplog.records if line.message == "kick: not sent"]
    assert line["why"] == "TimeoutError()"


def test_a_kick_that_redis_took_only_in_part_is_written_down_and_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def half(topic: str, message: dict[str, Any]) -> None:
        if topic == "connection:b":
            raise LayerAway("connection lost")

    monkeypatch.setattr(kicks, "send_to_topic", half)
    for connection_id in "ab":
        add_connection(connection_id)
    kick(connection_ids=["a", "b"], by=User.objects.create_user("ada"))
    assert Kick.objects.get().connection_ids == ["a", "b"]
    assert LogEntry.objects.get().change_message == "Kicked 2 connections: no reason given (a, b)"


@pytest.mark.usefixtures("database_away")
def test_without_a_database_the_nodes_are_told_and_nobody_knows_how_many_links_ended(
    sent: dict[str, Any],
) -> None:
    kicked = kick(user_ids=["42"])
    assert set(sent) == {"user:42"}
    assert str(kicked) == "The nodes were told; how many links end is not known."


@pytest.mark.usefixtures("database_away")
def test_without_a_database_and_redis_a_node_of_this_process_is_told_and_no_other_can_be() -> None:
    layer = get_channel_layer()
    group = group_name(ALL_NODES)
    with pytest.raises(KickNotSent, match="neither Redis nor the database"):
        kick(user_ids=["42"])
    async_to_sync(layer.group_add)(group, "node")
    try:
        assert kick(user_ids=["42"]).ended is None
    finally:
        async_to_sync(layer.group_discard)(group, "node")


@pytest.mark.usefixtures("database_away", "redis_away")
def test_without_both_nothing_is_said_to_be_done() -> None:
    with pytest.raises(KickNotSent, match="neither Redis nor the database"):
        kick(user_ids=["42"])


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_every_node_that_runs_and_names_those_that_keep_silent(
    sent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for node_id in ("one", "two", "lost"):
        add_node(node_id, silent_seconds=60 if node_id == "lost" else 0)

    def save_with_reports(kick: Kick, **_: Any) -> None:
        KickReport.objects.create(kick_id=kick.pk, node_id="one", links=2)

    monkeypatch.setattr(Kick, "save", save_with_reports)
    monkeypatch.setattr(kicks, "REPORT_SECONDS", 0.1)
    kicked = kick(user_ids=["42"])
    assert (kicked.ended, kicked.silent) == (2, ("box:7",))
    assert str(kicked).startswith("2 links ended. No word yet from box:7")


@pytest.mark.django_db(transaction=True)
def test_the_command_fails_when_no_node_has_such_a_link(sent: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="no node has such a link"):
        call_command("kick", "--connection", "nobody")


@pytest.mark.parametrize("arguments", [[], ["--all", "--user", "1"], ["--user", ""]])
def test_the_command_wants_exactly_one_target(sent: dict[str, Any], arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("kick", *arguments)


def test_connections_are_listed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    add_node("n1")
    add_connection("a", user_id="42", route="game", bytes_in=2048, messages_in=3, age_seconds=3600)
    add_connection("b", user_id="7\x1b[31m", node_id="unknown")
    add_connection("c", closed=True)
    call_command("connections")

    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["ID", "USER", "EMAIL"]
    assert [line.split()[0] for line in lines] == ["b", "a"]
    assert "\x1b" not in lines[0]
    for part in ("42", "box:7", "1h 00m", "3 (2.0 KB)"):
        assert part in lines[1]


def test_connections_are_filtered_and_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    add_connection("a", user_id="42", route="game")
    add_connection("b", user_id="42", route="studio")
    add_connection("c", user_id="42", route="game", closed=True)
    call_command("connections", "--user", "42", "--route", "game", "--all", "--json")

    rows = json.loads(capsys.readouterr().out)
    assert [(row["id"], row["closed_by"]) for row in rows] == [("a", ""), ("c", "client")]


def test_no_connections_are_said_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("connections")
    assert capsys.readouterr().out == "no connections\n"


@pytest.mark.parametrize("ids", [{"user_ids": "42"}, {"connection_ids": "abc"}])
def test_a_text_is_not_taken_for_its_letters(ids: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a list or a set"):
        kicks.kick(**ids)
