"""What staff do in admin, over HTTP: done once, with a reason, and one entry of the audit for each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from proxy.cluster import staff_messages
from proxy.cluster.publishing import Delivered
from proxy.cluster.questions import LayerAway
from proxy.core.limits import Rate
from proxy.core.people import NoteKind
from proxy.models import Block, MemberReport, Node, PoolMember, ProgramDeed, StaffNote
from proxy.rest import blocks, kicks, messages
from proxy.rest.rates import UserRate
from proxy.rest.tests.calling import may, post
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.usefixtures("any_database")

WHY = "they asked for it"
ALL = ("add_block", "delete_block", "message_connection", "broadcast_connection", "drain_node",
       "drain_poolmember", "add_staffnote", "delete_staffnote")  # fmt: skip


@pytest.fixture
def mine() -> str:
    return may(*ALL)


def do(path: str, by: str, **body: Any) -> Any:
    code, told = post({"reason": WHY, **body}, by=by, path=f"/api/{path}")
    assert code == 200, told
    return told


def only_deed() -> ProgramDeed:
    deed = ProgramDeed.objects.get()
    assert deed.who.startswith("key game (")
    return deed


def test_a_block_says_whom_it_hits_first_and_is_placed_once(mine: str) -> None:
    add_connection("a", user_id="ada", client_address="192.0.2.7")
    add_connection("b", user_id="bob", client_address="192.0.2.8")
    told = do("block", mine, network="192.0.2.0/24", until=None, dry_run=True)
    assert told == {"block": None, "links": 2, "users": 2, "is_bounded": False, "needs_word": False}
    assert not Block.objects.exists()
    assert not ProgramDeed.objects.exists()

    until = timezone.now() + timedelta(hours=1)
    told = do("block", mine, user_id="ada", network="192.0.2.7", until=until.isoformat())
    block = Block.objects.get()
    assert (block.user_id, block.network, block.until, block.reason) == ("ada", "192.0.2.7/32", until, WHY)
    assert (told["block"]["id"], told["links"]) == (block.pk, 1)
    deed = only_deed()
    assert (deed.kind, deed.flag, deed.count, deed.reason) == ("proxy.block", ADDITION, 1, WHY)
    assert deed.said.startswith("Blocked until ")
    assert StaffNote.objects.get().kind == NoteKind.BLOCKED


def test_a_large_part_of_the_world_wants_a_word(mine: str) -> None:
    code, told = post({"network": "0.0.0.0/0", "until": None, "reason": WHY}, by=mine, path="/api/block")
    assert (code, Block.objects.count()) == (400, 0)
    assert "say 'everyone'" in told["message"]
    assert do("block", mine, network="0.0.0.0/0", until=None, word="everyone")["needs_word"] is True
    assert Block.objects.get().network == "0.0.0.0/0"


def test_a_block_is_lifted_by_its_id_and_once(mine: str) -> None:
    block = Block.objects.create(user_id="ada", reason="spam")
    told = do("lift", mine, id=block.pk)
    assert (told["id"], told["user_id"], Block.objects.count()) == (block.pk, "ada", 0)
    deed = only_deed()
    assert (deed.flag, deed.about, deed.said, deed.reason) == (DELETION, "ada", f"Lifted: {WHY}", WHY)
    note = StaffNote.objects.get()
    assert (note.kind, note.text) == (NoteKind.UNBLOCKED, f"for good: spam; lifted: {WHY}")
    code, told = post({"id": block.pk, "reason": WHY}, by=mine, path="/api/lift")
    assert (code, told["code"]) == (404, "not_found")


def add_links() -> None:
    add_connection("a", user_id="ada", route="game")
    add_connection("b", user_id="bob", route="game")
    add_connection("c", user_id="bob", route="studio")
    add_connection("past", user_id="bob", closed=True)


@pytest.mark.parametrize(
    ("whom", "links", "found_by"),
    [
        ({"user_ids": ["bob", "eve"]}, 2, ""),
        ({"connection_ids": ["a", "past"]}, 1, ""),
        ({"filter": {"route": "game"}}, 2, "route=game"),
        ({"filter": {"route": "game", "user": "bob"}}, 1, "user=bob&route=game"),
        ({"filter": {"node": "box:7"}}, 3, "node=box:7"),
        ({"filter": {"node": "n1"}}, 3, "node=n1"),
    ],
)
def test_a_message_counts_first_and_then_says_it_once(
    mine: str, whom: dict[str, Any], links: int, found_by: str
) -> None:
    add_node("n1")
    add_links()
    assert do("message", mine, text="Hello", dry_run=True, **whom) == {
        "links": links,
        "is_bounded": False,
        "silent": 0,
        "told": False,
    }
    assert not ProgramDeed.objects.exists()
    assert do("message", mine, text="Hello", **whom)["told"] is True
    deed = only_deed()
    assert (deed.kind, deed.reason, deed.found_by) == ("proxy.connection", WHY, found_by)
    assert deed.said.startswith(f"Told 0 connections “Hello”: {WHY}")  # there is no node here


def test_a_message_to_nobody_is_not_sent(mine: str) -> None:
    assert do("message", mine, text="Hello", user_ids=["eve"])["told"] is False
    assert do("broadcast", mine, text="Hello")["told"] is False
    assert not ProgramDeed.objects.exists()


def test_a_broadcast_is_for_everyone_or_for_a_route(mine: str) -> None:
    add_links()
    assert do("broadcast", mine, text="Hello", dry_run=True)["links"] == 3
    assert do("broadcast", mine, text="Hello", route="studio", dry_run=True)["links"] == 1
    do("broadcast", mine, text="Hello")
    do("broadcast", mine, text="Hello", route="studio")
    route, everyone = ProgramDeed.objects.all()
    assert (everyone.about, everyone.found_by) == ("everyone", "")
    assert (route.about, route.found_by) == ("c", "route=studio")


def test_a_message_that_redis_takes_in_part_is_in_the_audit_as_well(
    mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(publications: Any) -> Any:
        raise LayerAway("redis://inner:6379 is away")

    monkeypatch.setattr(staff_messages, "publish_many", away)
    add_links()
    code, told = post({"text": "Hi", "user_ids": ["bob"], "reason": WHY}, by=mine, path="/api/message")
    assert (code, told["code"]) == (503, "unavailable")
    assert "some may have been told" in told["message"]
    assert "inner" not in told["message"]
    assert only_deed().said.startswith("Told an unknown number of connections “Hi”")


def test_what_looks_at_all_links_has_a_lower_rate(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = UserRate(lambda: Rate(1, 3600))
    monkeypatch.setattr(messages.SendMessage, "deed_rate", rate)
    monkeypatch.setattr(blocks, "WIDE", rate)
    do("message", mine, text="Hello", user_ids=["bob"], dry_run=True)
    again = {"text": "Hello", "user_ids": ["bob"], "reason": WHY}
    assert post(again, by=mine, path="/api/message")[0] == 429
    wide = {"network": "192.0.2.0/24", "until": None, "reason": WHY, "dry_run": True}
    assert post(wide, by=mine, path="/api/block")[0] == 429
    assert do("block", mine, user_id="ada", until=None, dry_run=True)["links"] == 0


@pytest.mark.parametrize(
    ("whom", "is_wide"),
    [
        ({"filter": {"user": "ada"}, "reason": WHY}, True),
        ({"everyone": True}, True),
        ({"user_ids": ["ada"], "dry_run": True}, True),
        ({"user_ids": ["ada"]}, False),
    ],
)
def test_a_kick_that_looks_at_all_links_has_it_too(
    monkeypatch: pytest.MonkeyPatch, whom: dict[str, Any], is_wide: bool
) -> None:
    monkeypatch.setattr(kicks, "WIDE", UserRate(lambda: Rate(1, 3600)))
    by = may("kick_connection")
    assert [post(whom, by=by, path="/api/kick")[0] for _ in range(2)] == [200, 429 if is_wide else 200]


def test_a_node_is_told_to_drain_once(mine: str) -> None:
    add_node("n1")
    add_node("n2")
    Node.objects.filter(pk="n2").update(host="other")
    add_connection("a")
    told = do("nodes/drain", mine, node="n1", dry_run=True)
    assert told == {"node": "n1", "name": "box:7", "links": 1, "others": 1, "told": False}
    assert Node.objects.get(pk="n1").told_to_drain_at is None
    assert do("nodes/drain", mine, node="box:7")["told"] is True
    assert do("nodes/drain", mine, node="n1")["told"] is False
    deed = only_deed()
    assert (deed.kind, deed.object_id, deed.count, deed.reason) == ("proxy.node", "n1", 1, WHY)
    code, told = post({"node": "n3", "reason": WHY}, by=mine, path="/api/nodes/drain")
    assert (code, told["code"]) == (404, "not_found")


def test_a_name_of_several_nodes_is_none(mine: str) -> None:
    add_node("n1")
    add_node("n2")
    code, told = post({"node": "box:7", "reason": WHY}, by=mine, path="/api/nodes/drain")
    assert (code, told["message"]) == (400, "node: several are called so; give an id")


def test_a_member_is_drained_moved_and_brought_back(mine: str) -> None:
    add_node("n1")
    url = "ws://one:9000"
    row = PoolMember.objects.create(pool="studio", url=url)
    PoolMember.objects.create(pool="studio", url="ws://two:9000")
    for each, links in ((url, 4), ("ws://two:9000", 0)):
        MemberReport.objects.create(
            node_id="n1",
            pool="studio",
            url=each,
            state="available",
            links=links,
            breaker="closed",
            updated_at=timezone.now(),
        )
    named = {"pool": "studio", "url": url}
    told = do("members/drain", mine, **named, dry_run=True)
    assert told == {**named, "links": 4, "others": 1, "told": False}
    for path, more, is_draining, seconds in (
        ("members/drain", {}, True, None),
        ("members/drain", {"move": True}, True, 30),
        ("members/bring-back", {}, False, None),
    ):
        assert do(path, mine, **named, **more)["told"] is True
        row.refresh_from_db()
        assert (row.draining, row.move_seconds) == (is_draining, seconds)
    back, moved, drained = ProgramDeed.objects.all()
    assert drained.said == f"Draining {url}: it gets no new links. {WHY}"
    assert moved.said == f"Draining {url}: its links end over the next 30 seconds. {WHY}"
    assert back.said == f"Brought back {url}. {WHY}"
    assert (drained.kind, drained.flag, drained.count) == ("proxy.poolmember", CHANGE, 4)
    code, _ = post({**named, "url": "ws://no:1", "reason": WHY}, by=mine, path="/api/members/drain")
    assert code == 404


def test_notes_are_written_and_deleted(mine: str) -> None:
    code, told = post({"user_id": "ada", "text": "called us"}, by=mine, path="/api/notes")
    assert (code, told["user_id"], told["text"]) == (201, "ada", "called us")
    assert told["by"].startswith("key game (")
    assert only_deed().said == "Note added: called us"
    assert do("notes/delete", mine, id=told["id"])["id"] == told["id"]
    assert not StaffNote.objects.exists()
    assert ProgramDeed.objects.count() == 2
    assert ProgramDeed.objects.all()[0].said.endswith(f"deleted ({WHY}): called us")
    assert post({"id": told["id"], "reason": WHY}, by=mine, path="/api/notes/delete")[0] == 404


def test_what_a_session_of_staff_does_is_an_entry_of_the_admin_log(client: Client) -> None:
    vera = User.objects.create_user("vera", is_staff=True)
    wanted = Permission.objects.filter(
        codename__in=["add_block", "kick_connection"], content_type__app_label="proxy"
    )
    vera.user_permissions.set(wanted)
    client.force_login(vera)
    told = client.post(
        "/api/block", {"user_id": "ada", "until": None, "reason": WHY}, content_type="application/json"
    )
    assert (told.status_code, told.json()["block"]["by"]) == (200, "vera")
    assert Block.objects.get().created_by == vera
    client.post("/api/kick", {"user_ids": ["ada"]}, content_type="application/json")
    kicked, blocked = LogEntry.objects.all()
    assert blocked.change_message == f"Blocked for good, 0 live links: {WHY}"
    assert {kicked.user, blocked.user} == {vera}
    assert not ProgramDeed.objects.exists()


@pytest.mark.parametrize("path", ["block", "lift", "message", "broadcast", "nodes/drain", "members/drain",
                                  "members/bring-back", "notes/delete"])  # fmt: skip
@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (None, "reason: This field"),
        ("  ", "reason: This field may not be blank."),
        ("x" * 201, "reason: Ensure this field has no more than 200"),
    ],
)
def test_nothing_is_done_without_a_reason(mine: str, path: str, reason: str | None, says: str) -> None:
    body = {} if reason is None else {"reason": reason}
    code, told = post(body, by=mine, path=f"/api/{path}")
    assert (code, told["code"]) == (400, "bad_request")
    assert says in told["message"]
    assert not ProgramDeed.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("block", {"until": None}, "Name a user, an address, or both."),
        ("block", {"until": None, "network": "here"}, "no address and no network"),
        ("block", {"user_id": "ada", "until": "2020-01-01T00:00:00Z"}, "that time has passed"),
        ("block", {"until": None, "user_id": 7}, "user_id: Not a valid string."),
        ("block", {"until": None, "user": "ada"}, "no such field: user"),
        ("lift", {"id": 0}, "id: "),
        ("message", {"text": "Hi"}, "one of the three"),
        ("message", {"text": "Hi", "user_ids": ["a"], "filter": {"route": "x"}}, "one of the three"),
        ("message", {"text": "Hi", "filter": {"rout": "x"}}, "no such field: rout"),
        (
            "message",
            {"text": "Hi", "filter": {"route": "stduio"}},
            "route: there is no route 'stduio'",
        ),
        (
            "broadcast",
            {"text": "Hi", "route": "stduio"},
            "route: there is no route 'stduio'",
        ),
        ("message", {"text": " ", "user_ids": ["ada"]}, "text: "),
        ("message", {"text": "x" * 501, "user_ids": ["ada"]}, "at most 500"),
        ("message", {"text": "\x1b[2J", "user_ids": ["ada"]}, "without control characters"),
        ("broadcast", {"text": ""}, "text: "),
        ("notes", {"user_id": "ada", "text": "  ", "reason": WHY}, "no such field: reason"),
    ],
)
def test_what_could_not_be_meant_does_nothing(mine: str, path: str, body: dict[str, Any], says: str) -> None:
    code, told = post({"reason": WHY, **body}, by=mine, path=f"/api/{path}")
    assert (code, told["code"]) == (400, "bad_request")
    assert says in told["message"]
    assert not ProgramDeed.objects.exists()
    assert not Block.objects.exists()


def test_who_is_named_twice_is_told_once(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_links()
    said: list[str] = []

    def publish(publications: list[Any]) -> list[Delivered]:
        said.extend(each.topic for each in publications)
        return [Delivered(1, 1)] * len(publications)

    monkeypatch.setattr(staff_messages, "publish_many", publish)
    do("message", mine, text="Hello", user_ids=["bob", "ada", "bob"])
    do("message", mine, text="Hello", connection_ids=["a", "a"])
    assert said == ["user:bob", "user:ada", "connection:a"]


def test_a_member_that_was_not_drained_is_not_brought_back(mine: str) -> None:
    row = PoolMember.objects.create(pool="studio", url="ws://one:9000")
    named = {"pool": "studio", "url": row.url}
    assert do("members/bring-back", mine, **named)["told"] is False
    assert not ProgramDeed.objects.exists()
    do("members/drain", mine, **named)
    assert do("members/bring-back", mine, **named)["told"] is True


@pytest.mark.parametrize("user_id", ["\n", "\u202ex", "a\tb"])
def test_a_block_of_a_user_id_that_nobody_can_have_is_none(mine: str, user_id: str) -> None:
    code, told = post({"user_id": user_id, "until": None, "reason": WHY}, by=mine, path="/api/block")
    assert (code, Block.objects.count()) == (400, 0)
    assert "user_id" in told["message"]


def test_a_deed_takes_nothing_from_its_query(mine: str) -> None:
    code, told = post(
        {"user_id": "ada", "until": None, "reason": WHY}, by=mine, path="/api/block?dry_run=true"
    )
    assert (code, Block.objects.count()) == (400, 0)
    assert "in the body" in told["message"]


def test_a_block_says_until_when_or_that_it_is_for_good(mine: str) -> None:
    code, told = post({"user_id": "ada", "reason": WHY}, by=mine, path="/api/block")
    assert (code, Block.objects.count()) == (400, 0)
    assert "until" in told["message"]
    assert do("block", mine, user_id="ada", until=None)["block"]["until"] is None
