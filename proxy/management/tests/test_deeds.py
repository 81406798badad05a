"""What staff do from a shell: it takes a reason, asks where it hits many, and is one entry of the audit."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, DELETION
from django.utils import timezone
from pytest_django import Settings

from proxy.cluster import kicks
from proxy.cluster.publishing import Delivered
from proxy.management.commands import kick as kick_command
from proxy.management.commands import message as message_command
from proxy.management.tests.playing import FAILURES, play
from proxy.models import Block, PoolMember, ProgramDeed, StaffNote
from proxy.tables.deeds import a_shell
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.usefixtures("any_database")


class Terminal(io.StringIO):
    """A stdin that is one, with what is typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have something typed at the next question."""
    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[dict[str, Any]]:
    """What nodes were asked for, none of which runs here."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    found: list[dict[str, Any]] = []

    def kick(**whom: Any) -> kicks.Kicked:
        found.append(whom)
        return kicks.Kicked(ended=2, silent=("box:7",))

    def tell(text: str, **whom: Any) -> Delivered:
        found.append({"text": text, **whom})
        return Delivered(1, 2, 0)

    monkeypatch.setattr(kick_command, "kick", kick)
    monkeypatch.setattr(message_command, "tell", tell)
    return found


def add_links() -> None:
    add_node("n1")
    add_connection("a", user_id="42", route="game", client_address="192.0.2.7")
    add_connection("b", user_id="42", route="chat", topic="room:1")
    add_connection("c", user_id="7", route="game", client_address="192.0.2.7")
    add_connection("d", user_id="7", route="game", closed=True)


@pytest.mark.parametrize(
    ("words", "ids", "found_by"),
    [
        (["--route", "game"], ["a", "c"], "route=game"),
        (["--user", "42", "--route", "chat"], ["b"], "user=42&route=chat"),
        (["--address", "192.0.2.7"], ["a", "c"], "address=192.0.2.7"),
        (["--topic", "room:1"], ["b"], "topic=room:1"),
        (["--node", "box:7"], ["a", "b", "c"], "node=box:7"),
        (["--node", "n1"], ["a", "b", "c"], "node=n1"),
    ],
)
def test_a_kick_by_filters_ends_what_they_find_once_somebody_says_yes(
    asked: list[dict[str, Any]], typed: Any, words: list[str], ids: list[str], found_by: str
) -> None:
    add_links()
    whom = {"connection_ids": ids, "found_by": found_by, "reason": "restart"}
    typed("yes\n")
    found = play("kick", *words, "--reason", "restart", "--json")
    assert (found.code, found.told, asked) == (0, {"ended": 2, "silent": ["box:7"]}, [whom])
    assert f"This ends {len(ids)} live link" in found.err

    typed("n\n")
    assert play("kick", *words, "--reason", "restart").code == 2
    assert play("kick", *words, "--reason", "restart", "--yes").code == 0
    assert asked == [whom, whom]


def test_a_user_whose_id_has_joined_emoji_is_shown_kicked_and_published_to() -> None:
    family = "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
    add_node("n1")
    add_connection("a", user_id=family, route="game")
    assert family in play("connections").out
    assert play("person", family).out.splitlines()[0] == family
    play("kick", "--user", family, "--reason", family)
    assert ProgramDeed.objects.get().reason == family
    assert play("issue_api_key", family, "--publish", f"user:{family}").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--route", "game"], 2),  # no reason
        (["--route", "game", "--reason", " "], 2),
        (["--route", "game", "--reason", "x"], 2),  # nobody to ask
        (["--route", "", "--reason", "x", "--yes"], 2),
        (["--address", "10/8", "--reason", "x", "--yes"], 2),
        (["--route", "game", "--all", "--reason", "x", "--yes"], 2),
        (["--user", "42", "--reason", "a\x1b[31m"], 2),
        (["--user", "42", "--reason", "a" * 201], 2),
        (["--route", "nowhere", "--reason", "x", "--yes"], 2),
        (["--node", "box:8", "--reason", "x", "--yes"], 1),
    ],
)
def test_a_kick_that_is_not_clear_ends_nothing(
    asked: list[dict[str, Any]], words: list[str], code: int
) -> None:
    add_links()
    found = play("kick", *words, "--json")
    assert (found.code, found.failure, asked) == (code, FAILURES[code], [])
    assert found.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "whom"),
    [
        (["--user", "42"], {"user_ids": ["42"]}),
        (["--connection", "a"], {"connection_ids": ["a"]}),
        (["--all"], {"everyone": True}),
    ],
)
def test_a_user_a_link_and_everyone_are_kicked_without_a_question_or_a_reason(
    asked: list[dict[str, Any]], words: list[str], whom: dict[str, Any]
) -> None:
    assert play("kick", *words).code == 0
    assert asked == [{**whom, "reason": ""}]


@pytest.mark.parametrize(
    ("words", "whom", "question"),
    [
        (["--all"], {"everyone": True}, "This goes to everyone: 3 live links."),
        (["--connection", "a"], {"connection_ids": ["a"]}, "This goes to one live link."),
        (["--user", "42"], {"user_ids": ["42"]}, "This goes to 2 live links of 1 user."),
        (
            ["--route", "game"],
            {"connection_ids": ["a", "c"], "found_by": "route=game"},
            "This goes to 2 live links of 2 users.",
        ),
    ],
)
def test_a_message_goes_out_once_somebody_who_has_read_to_how_many_says_yes(
    asked: list[dict[str, Any]], typed: Any, words: list[str], whom: dict[str, Any], question: str
) -> None:
    add_links()
    message = ["message", "Back at noon", *words, "--reason", "upgrade"]
    refused = play(*message)
    assert (refused.code, asked) == (2, [])
    assert question in refused.err
    typed("y\n")
    found = play(*message, "--json")
    assert (found.code, found.told) == (0, {"links": 2, "silent": 0})
    assert question in found.err
    assert play(*message, "--yes").out == "sent to 2 connections\n"
    assert asked == [{"text": "Back at noon", "reason": "upgrade", "by": a_shell(), **whom}] * 2


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["hello", "--user", "9"], 1, "nobody is connected with user=9"),
        (["hello", "--connection", "d"], 1, "no node has such a link"),
        (["", "--all"], 2, "a message has a text"),
        (["a\x1b[2J", "--all"], 2, "plain text, without control characters"),
        (["hello"], 2, "name one link"),
    ],
)
def test_a_message_that_nobody_could_read_is_not_sent(
    asked: list[dict[str, Any]], words: list[str], code: int, why: str
) -> None:
    add_links()
    found = play("message", *words, "--reason", "x", "--yes")
    assert (found.code, asked) == (code, [])
    assert why in found.err


def test_a_member_is_drained_and_brought_back_each_with_one_entry_of_the_audit() -> None:
    for url in ("ws://a:1/ws", "ws://b:1/ws"):
        PoolMember.objects.create(pool="studio", url=url)
    drained = play("drain", "ws://a:1/ws", "--move", "--reason", "a new kernel", "--yes", "--json")
    assert drained.told == {
        "pool": "studio",
        "url": "ws://a:1/ws",
        "draining": True,
        "links": 0,
        "others": 0,
    }
    row = PoolMember.objects.get(url="ws://a:1/ws")
    assert (row.draining, row.move_seconds) == (True, 30)
    back = play("undrain", "ws://a:1/ws", "--pool", "studio", "--reason", "done")
    assert back.out == "Brought back ws://a:1/ws. It has 0 links; 0 others of studio take new ones.\n"
    row.refresh_from_db()
    assert (row.draining, row.move_seconds) == (False, None)

    newest, first = ProgramDeed.objects.all()
    assert (first.who, first.kind, first.object_id) == (a_shell(), "proxy.poolmember", str(row.pk))
    assert first.said == "Draining ws://a:1/ws: its links end over the next 30 seconds. a new kernel"
    assert (newest.said, newest.reason) == ("Brought back ws://a:1/ws. done", "done")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["drain", "ws://a:1/ws"], 2, "--reason is empty"),
        (["drain", "ws://nowhere:1", "--reason", "x"], 1, "no pool has such a member. There are: "),
        (["drain", "box:7", "--pool", "studio", "--reason", "x"], 2, "are of members"),
        (["undrain", "ws://nowhere:1", "--reason", "x"], 1, "no pool has such a member"),
        (["undrain", "ws://a:1/ws", "--reason", ""], 2, "--reason is empty"),
    ],
)
def test_a_drain_that_is_not_clear_changes_nothing(words: list[str], code: int, why: str) -> None:
    PoolMember.objects.create(pool="studio", url="ws://a:1/ws")
    found = play(*words)
    assert (found.code, found.out) == (code, "")
    assert why in found.err
    assert not ProgramDeed.objects.exists()


def test_the_audit_tells_who_did_what_and_is_looked_through() -> None:
    PoolMember.objects.create(pool="studio", url="ws://a:1/ws")
    play("drain", "ws://a:1/ws", "--reason", "a new kernel", "--yes")
    play("undrain", "ws://a:1/ws", "--reason", "done")

    back, drained = play("audit", "--json").told
    assert (drained["who"], drained["kind"], drained["done"]) == (a_shell(), "proxy.poolmember", "changed")
    assert (drained["count"], drained["reason"]) == (0, "a new kernel")
    assert drained["about"] == "ws://a:1/ws (studio)"
    for words, found in (
        (["--text", "kernel"], [drained]),
        (["--who", a_shell(), "--kind", "proxy.poolmember", "--since", "1h"], [back, drained]),
    ):
        assert play("audit", *words, "--json").told == found
    assert play("audit", "--who", "ada").out == "nothing was done\n"
    limited = play("audit", "--limit", "1", "--json")
    assert (limited.told, "there are more" in limited.err) == ([back], True)
    assert "Brought back ws://a:1/ws. done" in play("audit").out


def test_a_block_is_placed_and_lifted_each_with_one_entry_and_a_line_of_the_users_story() -> None:
    add_links()
    placed = play("block", "--user", "42", "--for", "1h", "--reason", "spam", "--json").told
    assert (placed["user_id"], placed["reason"], placed["links"], placed["holds"]) == ("42", "spam", 2, True)
    block = Block.objects.get()
    assert block.until is not None
    assert block.until > timezone.now() + timedelta(minutes=59)
    lifted = play("unblock", str(block.pk), "--reason", "a mistake")
    assert lifted.out == f"lifted block {block.pk} of 42\n"
    assert not Block.objects.exists()

    newest, first = ProgramDeed.objects.all()
    assert (first.who, first.kind, first.flag, first.count) == (a_shell(), "proxy.block", ADDITION, 2)
    assert (newest.flag, newest.reason, newest.object_id) == (DELETION, "a mistake", str(block.pk))
    assert first.said.endswith(", 2 live links: spam")
    kinds = StaffNote.objects.filter(user_id="42", by=a_shell()).values_list("kind", flat=True)
    assert sorted(kinds) == ["blocked", "unblocked"]


def test_a_wide_block_asks_and_a_very_wide_one_wants_the_word(typed: Any) -> None:
    add_links()
    wide = ["block", "--network", "192.0.0.0/16", "--for-good", "--reason", "x"]
    assert play(*wide).code == 2
    assert "This blocks 192.0.0.0/16, and ends 2 live links of 2 users." in play(*wide).err
    assert play(*wide, "--yes").code == 0

    world = ["block", "--network", "0.0.0.0/0", "--until", "2100-01-01", "--reason", "x"]
    assert play(*world, "--yes").code == 2
    typed("yes\n")
    assert play(*world).code == 2
    typed("everyone\n")
    assert play(*world).code == 0
    assert play(*world, "--word", "everyone", "--json").told["links"] == 2
    assert Block.objects.count() == ProgramDeed.objects.count() == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["block", "--for", "1h", "--reason", "x"], 2),
        (["block", "--user", "42", "--for", "1h", "--reason", ""], 2),
        (["block", "--network", "nowhere", "--for", "1h", "--reason", "x"], 2),
        (["block", "--user", "42", "--until", "2020-01-01", "--reason", "x"], 2),
        (["block", "--user", "42", "--for", "999999w", "--reason", "x"], 2),
        (["unblock", "999", "--reason", "x"], 1),
        (["unblock", str(1 << 70), "--reason", "x"], 1),
    ],
)
def test_a_block_that_is_none_keeps_nobody_out(words: list[str], code: int) -> None:
    found = play(*words, "--json")
    assert (found.code, found.failure) == (code, FAILURES[code])
    assert not Block.objects.exists()
    assert not ProgramDeed.objects.exists()


@pytest.mark.parametrize(
    "words", [["message", "x", "--all"], ["block", "--user", "4", "--for-good"], ["unblock", "1"]]
)
def test_a_deed_without_a_reason_is_a_mistake(words: list[str]) -> None:
    assert "--reason" in play(*words).err
