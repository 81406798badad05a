"""Conversations made, joined and left, and blocks, over HTTP: who may, and what services are told."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from experience.chat import membership
from experience.chat.api import limits
from experience.chat.api.tests.calling import ALL, BASE, call, make, told
from experience.chat.models import Block, Conversation, Participant
from experience.chat.topics import chat_topic, of_conversation
from proxy.api import UserRate
from proxy.core.limits import Rate
from proxy.core.rights import Rights
from proxy.models import Block as StaffBlock
from proxy.models import OutgoingEvent
from proxy.registry import topic_kinds
from proxy.rest.tests.calling import key, post, token
from proxy.tables import api_keys

pytestmark = pytest.mark.usefixtures("chat_tables")
BLOCKS = f"{BASE}/blocks"


def changed(conversation_id: str, *participants: str) -> dict[str, Any]:
    return {
        "type": "conversation.changed",
        "conversation_id": conversation_id,
        "participants": list(participants),
    }


def unblocked(conversation_id: str, *, by: str, target: str) -> dict[str, Any]:
    return {
        "type": "conversation.unblocked",
        "conversation_id": conversation_id,
        "by_user_id": by,
        "target_user_id": target,
    }


def version(conversation_id: str) -> int:
    return Conversation.objects.get(pk=conversation_id).version


def test_who_makes_a_conversation_takes_part_in_it_and_services_are_told() -> None:
    status, made = call("POST", ALL, {"participants": ["carol", "bob", "bob"]}, by="alice")
    assert (status, made["participants"]) == (201, ["alice", "bob", "carol"])
    event = changed(made["id"], "alice", "bob", "carol")
    assert told() == [
        (f"chat:c.{made['id']}", event),
        *((f"chat:u.{user}", event) for user in ("alice", "bob", "carol")),
    ]
    assert make("alice", "bob") != make("alice", "bob")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "participants: This field is required."),
        ({"participants": []}, "participants: "),
        ({"participants": ["alice"]}, "participants: name somebody else"),
        ({"participants": "bob"}, "Expected a list"),
        ({"participants": [7]}, "Not a valid string."),
        ({"participants": [""]}, "may not be blank"),
        ({"participants": ["a\nb"]}, "printable text"),
        ({"participants": ["a" * 256]}, "printable text"),
        ({"participants": ["bob"], "name": "x"}, "no such field: name"),
        ({"participants": [f"user-{n}" for n in range(101)]}, "no more than 100"),
        (["bob"], "Expected a dictionary"),
    ],
)
def test_what_could_not_be_meant_makes_none(body: object, says: str) -> None:
    status, answer = call("POST", ALL, body, by="alice")
    assert (status, answer["code"]) == (400, "bad_request")
    assert says in answer["message"]
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=x"])
def test_a_body_that_is_no_json_by_its_type_is_said_to_be_none(kind: str) -> None:
    headers = {"Authorization": token("alice")}
    body = b'{"participants": ["bob"]}'
    answer = Client().generic("POST", ALL, body, content_type=kind, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "bad_request")


def test_who_made_it_adds_others_and_a_participant_does_not() -> None:
    made = make("alice", "bob")
    where = f"{ALL}/{made}/participants"
    told()
    status, answer = call("POST", where, {"user_id": "carol"}, by="alice")
    assert (status, answer) == (201, {"id": made, "participants": ["alice", "bob", "carol"]})
    event = changed(made, "alice", "bob", "carol")
    assert told() == [(f"chat:c.{made}", event), ("chat:u.carol", event)]
    assert version(made) == 2

    assert call("POST", where, {"user_id": "carol"}, by="alice") == (201, answer)
    assert call("POST", where, {"user_id": "dave"}, by="bob")[1]["code"] == "forbidden"
    assert (told(), version(made)) == ([], 2)


def test_a_stranger_learns_of_no_conversation() -> None:
    made = make("alice", "bob")
    told()
    for path, method, body in (
        ("", "GET", None),
        ("/messages", "GET", None),
        ("/participants", "POST", {"user_id": "mallory"}),
        ("/participants/mallory", "DELETE", None),
        ("/participants/bob", "DELETE", None),
    ):
        there = call(method, f"{ALL}/{made}{path}", body, by="mallory")
        assert there == call(method, f"{ALL}/nowhere{path}", body, by="mallory")
        assert (there[0], there[1]["code"]) == (404, "not_found")
    assert (told(), version(made)) == ([], 1)


def test_who_leaves_takes_part_no_more_and_removes_nobody_else() -> None:
    made = make("alice", "bob", "carol")
    told()
    assert call("DELETE", f"{ALL}/{made}/participants/bob", by="alice")[0] == 403
    assert call("DELETE", f"{ALL}/{made}/participants/bob", by="bob") == (204, None)
    assert told() == [(f"chat:c.{made}", changed(made, "alice", "carol"))]
    assert call("GET", f"{ALL}/{made}", by="bob")[0] == 404
    assert call("DELETE", f"{ALL}/{made}/participants/bob", by="bob")[0] == 404
    assert call("DELETE", f"{ALL}/{made}/participants/alice", by="alice") == (204, None)
    assert call("POST", f"{ALL}/{made}/participants", {"user_id": "eve"}, by="alice")[0] == 404


def test_a_user_id_may_be_any_printable_text() -> None:
    odd = "auth0|a/b ü?"
    made = make("alice", odd)
    where = f"{ALL}/{made}/participants/auth0%7Ca%2Fb%20%C3%BC%3F"
    assert call("DELETE", where, by=token(odd)) == (204, None)
    assert list(Participant.objects.values_list("user_id", flat=True)) == ["alice"]


def test_a_service_and_staff_add_and_remove_by_permission() -> None:
    made = make("alice", "bob")
    where = f"{ALL}/{made}/participants"
    adding = f"Api-Key {api_keys.make('bots', Rights(others=('chat.add_participant',)))}"
    for by in (key("*", kick=True), adding):
        assert call("DELETE", f"{where}/bob", by=by)[0] == 403
    assert call("POST", where, {"user_id": "bot"}, by=key("*", kick=True))[0] == 403
    assert call("POST", where, {"user_id": "bot"}, by=adding)[0] == 201
    assert call("POST", f"{ALL}/nowhere/participants", {"user_id": "bot"}, by=adding)[0] == 404
    for method, path in (("GET", ""), ("GET", "/messages")):  # to add is not to read
        assert call(method, f"{ALL}/{made}{path}", by=adding)[0] == 401

    support = User.objects.create(username="support")
    assert call("DELETE", f"{where}/bob", by="support")[0] == 404
    support.user_permissions.add(Permission.objects.get(codename="delete_participant_by_token"))
    assert call("DELETE", f"{where}/bob", by="support")[0] == 204
    assert call("GET", f"{ALL}/{made}", by="support")[0] == 404


def test_a_conversation_has_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "CHAT_MAX_PARTICIPANTS", 3)
    assert call("POST", ALL, {"participants": ["b", "c", "d"]}, by="a")[0] == 409
    made = make("a", "b", "c")
    told()
    status, answer = call("POST", f"{ALL}/{made}/participants", {"user_id": "d"}, by="a")
    assert (status, answer["code"]) == (409, "too_many")
    assert (told(), version(made)) == ([], 1)


def test_two_users_have_so_many_conversations_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MOST_OF_TWO", 2)
    make("alice", "bob", "carol")
    make("alice", "bob")
    make("bob", "alice")
    assert call("POST", ALL, {"participants": ["bob"]}, by="alice")[1]["code"] == "too_many"
    make("alice", "carol")


def test_what_cannot_be_told_is_not_done(settings: Any) -> None:
    settings.MAX_EVENT_BYTES = 256
    others = ["x" * 200, "y" * 200]
    assert call("POST", ALL, {"participants": others}, by="alice")[1]["code"] == "too_many"
    assert not Conversation.objects.exists()


def test_a_block_is_told_where_just_the_two_take_part() -> None:
    ours, group = make("alice", "bob"), make("alice", "bob", "carol")
    told()
    assert call("POST", BLOCKS, {"user_id": "bob"}, by="alice") == (201, {"user_id": "bob"})
    event = {
        "type": "conversation.blocked",
        "conversation_id": ours,
        "by_user_id": "alice",
        "target_user_id": "bob",
    }
    assert told() == [(f"chat:c.{ours}", event)]
    assert (version(ours), version(group)) == (2, 1)
    assert call("POST", BLOCKS, {"user_id": "bob"}, by="alice")[0] == 201
    assert (told(), version(ours)) == ([], 2)
    assert call("GET", BLOCKS, by="alice") == (200, {"blocks": ["bob"]})
    assert call("GET", BLOCKS, by="bob") == (200, {"blocks": []})


@pytest.mark.parametrize(("query", "body"), [("", {"user_id": "bob"}), ("?user_id=bob", None)])
def test_a_block_is_taken_back_by_who_made_it(query: str, body: object) -> None:
    ours = make("alice", "bob")
    call("POST", BLOCKS, {"user_id": "bob"}, by="alice")
    told()
    assert call("DELETE", BLOCKS, {"user_id": "alice"}, by="bob") == (204, None)
    assert (told(), Block.objects.count()) == ([], 1)
    assert call("DELETE", BLOCKS + query, body, by="alice") == (204, None)
    assert told() == [(f"chat:c.{ours}", unblocked(ours, by="alice", target="bob"))]
    assert (version(ours), Block.objects.count()) == (3, 0)


def test_of_two_blocks_the_end_of_the_last_is_told() -> None:
    ours = make("alice", "bob")
    for by, target in (("alice", "bob"), ("bob", "alice")):
        call("POST", BLOCKS, {"user_id": target}, by=by)
    told()
    assert call("DELETE", BLOCKS, {"user_id": "bob"}, by="alice") == (204, None)
    assert told() == []
    assert call("DELETE", BLOCKS, {"user_id": "alice"}, by="bob") == (204, None)
    assert told() == [(f"chat:c.{ours}", unblocked(ours, by="bob", target="alice"))]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_block_and_its_end_are_written_down_for_services_in_one_statement(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experience.settings.CHAT_EVENTS", "nats")
    for _ in range(3):
        make("alice", "bob")
    if method == "DELETE":
        call("POST", BLOCKS, {"user_id": "bob"}, by="alice")
    before = OutgoingEvent.objects.count()
    with CaptureQueriesContext(connection) as asked:
        call(method, BLOCKS, {"user_id": "bob"}, by="alice")
    written = [each["sql"] for each in asked if each["sql"].startswith('INSERT INTO "proxy_outgoingevent"')]
    assert (len(written), OutgoingEvent.objects.count() - before) == (1, 3)


def test_nobody_brings_together_whom_a_block_keeps_apart() -> None:
    group = make("bob", "carol")
    call("POST", BLOCKS, {"user_id": "bob"}, by="alice")
    for by, other in (("alice", "bob"), ("bob", "alice")):
        status, answer = call("POST", ALL, {"participants": ["carol", other]}, by=by)
        assert (status, answer["code"]) == (403, "blocked")
    added = call("POST", f"{ALL}/{group}/participants", {"user_id": "alice"}, by="bob")
    assert (added[0], added[1]["code"]) == (403, "blocked")
    make("carol", "alice", "bob")


def test_blocks_are_of_others_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("POST", BLOCKS, {"user_id": "alice"}, by="alice")[0] == 400
    monkeypatch.setattr(membership, "MOST_BLOCKS", 1)
    assert call("POST", BLOCKS, {"user_id": "bob"}, by="alice")[0] == 201
    assert call("POST", BLOCKS, {"user_id": "bob"}, by="alice")[0] == 201
    assert call("POST", BLOCKS, {"user_id": "carol"}, by="alice")[1]["code"] == "too_many"


def test_a_deleted_conversation_is_told_to_services() -> None:
    made = make("alice", "bob")
    told()
    membership.delete(made)
    assert told() == [(f"chat:c.{made}", changed(made))]
    assert not Participant.objects.exists()


def test_changes_have_a_rate_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = UserRate(lambda: Rate(2, 60))
    for module in ("conversations", "blocks"):
        monkeypatch.setattr(f"experience.chat.api.{module}.CHANGES", rate)
    make("alice", "bob")
    assert call("POST", BLOCKS, {"user_id": "eve"}, by="alice")[0] == 201
    status, answer = call("POST", ALL, {"participants": ["bob"]}, by="alice")
    assert (status, answer["code"]) == (429, "too_many")
    assert call("GET", ALL, by="alice")[0] == 200
    make("bob", "alice")
    assert str(limits.CHANGES._rate) == "60/m"


def test_a_user_whom_staff_keep_out_does_nothing() -> None:
    StaffBlock.objects.create(user_id="alice")
    status, answer = call("POST", ALL, {"participants": ["bob"]}, by="alice")
    assert (status, answer["code"]) == (403, "blocked")


def test_no_api_key_says_what_services_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.rest.events.topic_kinds", lambda: (*topic_kinds(), chat_topic))
    forged = {"type": "conversation.changed", "conversation_id": "c", "participants": []}

    status, _ = post({"topic": of_conversation("c"), "event": forged}, by=key("*"))
    assert status == 403
