"""What was said and a user's conversations, over HTTP: pages, their places, and what is told of each."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from experience.chat import reading
from experience.chat.api.tests.calling import ALL, EPOCH, call, make, say
from experience.chat.models import Conversation, Participant
from experience.chat.urls import urlpatterns
from proxy.core.limits import Rate
from proxy.rest import access
from proxy.rest.rates import UserRate

pytestmark = pytest.mark.usefixtures("chat_tables")


@pytest.fixture
def ours() -> str:
    """A conversation of alice and bob, with 7 messages."""
    made = make("alice", "bob")
    say(made, ["alice", "bob", "alice", "bob", "alice", "bob", "bob"])
    return made


def history(conversation_id: str, query: str = "", *, by: str = "alice") -> tuple[list[int], str | None]:
    """The numbers of the messages, and `next`."""
    status, page = call("GET", f"{ALL}/{conversation_id}/messages{query}", by=by)
    assert status == 200, page
    return [int(each["id"].rpartition(".")[2]) for each in page["messages"]], page["next"]


def test_a_message_is_told_as_sockets_are_told(ours: str) -> None:
    status, page = call("GET", f"{ALL}/{ours}/messages?limit=1", by="bob")
    assert (status, page["next"]) == (200, f"{ours}.7")
    at = int(EPOCH.timestamp()) + 7
    assert page["messages"] == [{"id": f"{ours}.7", "sender_id": "bob", "text": "7 of bob", "created_at": at}]


def test_pages_go_back_from_the_latest_and_forward_from_any(ours: str) -> None:
    assert history(ours) == ([1, 2, 3, 4, 5, 6, 7], None)
    assert history(ours, "?before=&after=&limit=") == ([1, 2, 3, 4, 5, 6, 7], None)
    seen, page, following = list[int](), *history(ours, "?limit=3")
    while True:
        seen = page + seen
        if following is None:
            break
        page, following = history(ours, f"?limit=3&before={following}")
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert history(ours, f"?limit=3&after={ours}.2") == ([3, 4, 5], f"{ours}.5")
    assert history(ours, f"?limit=3&after={ours}.5") == ([6, 7], None)
    assert history(ours, f"?after={ours}.7") == ([], None)
    assert history(ours, f"?before={ours}.1") == ([], None)
    assert history(ours, f"?limit=7&after={ours}.9223372036854775807") == ([], None)


@pytest.mark.parametrize(
    "query",
    [
        "before=7",
        "before=other.7",
        "before={id}.0",
        "before={id}.-1",
        "before={id}.07",
        "before={id}.1e3",
        "before={id}.%D9%A7",
        "after={id}.9223372036854775808",
        "after={id}.",
        "after=.1",
        "before={id}.2&after={id}.1",
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "since={id}.1",
        "before=%00",
    ],
)
def test_a_place_that_is_none_is_a_400(ours: str, query: str) -> None:
    status, answer = call("GET", f"{ALL}/{ours}/messages?{query.replace('{id}', ours)}", by="alice")
    assert (status, answer["code"]) == (400, "bad_request")


def test_who_joins_later_reads_what_was_said_before(ours: str) -> None:
    call("POST", f"{ALL}/{ours}/participants", {"user_id": "carol"}, by="alice")
    assert history(ours, by="carol")[0] == [1, 2, 3, 4, 5, 6, 7]


def test_a_conversation_says_what_is_new_and_how_far_others_have_read(ours: str) -> None:
    Participant.objects.filter(user_id="bob").update(read_sequence=3)
    status, told = call("GET", f"{ALL}/{ours}", by="alice")
    assert (status, told["id"], told["participants"]) == (200, ours, ["alice", "bob"])
    assert (told["unread"], told["last_message"]["id"]) == (4, f"{ours}.7")
    assert told["read"] == {"bob": f"{ours}.3"}
    assert call("GET", f"{ALL}/{ours}", by="bob")[1]["unread"] == 1
    empty = make("alice", "dave")
    assert call("GET", f"{ALL}/{empty}", by="dave")[1] == {
        "id": empty,
        "participants": ["alice", "dave"],
        "unread": 0,
        "last_message": None,
        "read": {},
    }


def test_unread_counts_to_a_hundred_of_others_and_looks_through_a_thousand() -> None:
    made = make("alice", "bob")
    say(made, ["bob"] * 99)
    assert call("GET", f"{ALL}/{made}", by="alice")[1]["unread"] == 99
    say(made, ["bob"] * 50 + ["alice"] * 951, first=100)
    told = call("GET", f"{ALL}/{made}", by="alice")[1]
    assert told["unread"] == 49
    say(made, ["bob"] * 60, first=1101)
    assert call("GET", f"{ALL}/{made}", by="alice")[1]["unread"] == 60
    say(made, ["bob"] * 60, first=1161)
    assert call("GET", f"{ALL}/{made}", by="alice")[1]["unread"] == 100


def listing(query: str = "", *, by: str = "alice") -> tuple[list[str], str | None]:
    status, page = call("GET", f"{ALL}{query}", by=by)
    assert status == 200, page
    return [each["id"] for each in page["conversations"]], page["next"]


def test_conversations_come_by_their_last_message_page_by_page() -> None:
    made = [make("alice", f"user-{number}") for number in range(7)]
    Conversation.objects.update(created_at=EPOCH)
    make("bob", "carol")
    for number in (2, 5, 0):  # two of them in the same second
        say(made[number], ["alice"], at_seconds=10 if number else 20)
    same = sorted([made[2], made[5]], reverse=True)
    silent = sorted(set(made) - {made[0], made[2], made[5]}, reverse=True)
    expected = [made[0], *same, *silent]
    assert listing() == (expected, None)
    seen, page, following = list[str](), *listing("?limit=2")
    while True:
        assert len(page) <= 2
        seen += page
        if following is None:
            break
        page, following = listing(f"?limit=2&before={following}")
    assert seen == expected
    assert listing("?limit=7") == (expected, None)
    assert listing(by="nobody") == ([], None)


@pytest.mark.parametrize(
    "query", ["before=x", "before=1", "before=999999999999999999.a", "before=1.%00", "after=1.a", "limit=101"]
)
def test_a_place_among_conversations_that_is_none_is_a_400(query: str) -> None:
    status, answer = call("GET", f"{ALL}?{query}", by="alice")
    assert (status, answer["code"]) == (400, "bad_request")


def test_a_page_of_large_conversations_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_PARTICIPANTS_A_PAGE", 5)
    made = [make("alice", *others) for others in (["b", "c", "d", "e", "f"], ["b"], ["c"], ["d", "e"])]
    first, following = listing()
    assert first == made[:0:-1][:2]
    second, following = listing(f"?before={following}")
    assert second == [made[1]]
    third, following = listing(f"?before={following}")
    assert (third, following) == ([made[0]], None)


def test_more_conversations_and_messages_take_no_more_queries(
    ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_CALLS", UserRate(lambda: Rate(1000, 1)))

    def asked(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            call("GET", path, by="alice")
        return len(queries)

    paths = (ALL, f"{ALL}/{ours}", f"{ALL}/{ours}/messages")
    for path in paths:
        asked(path)  # what a process asks once, it has asked by then
    before = [asked(path) for path in paths]
    for number in range(20):
        say(make("alice", f"user-{number}"), ["alice"] * 5)
    say(ours, ["bob"] * 50, first=8)
    # One each for whether the user is blocked, and whether the token was taken back.
    assert [asked(path) for path in paths] == before == [7, 6, 4]


def test_head_is_answered_as_get_without_what_it_says(ours: str) -> None:
    for path in ("", f"/{ours}", f"/{ours}/messages", "/nowhere"):
        assert call("HEAD", f"{ALL}{path}", by="alice") == (call("GET", f"{ALL}{path}", by="alice")[0], None)
    assert call("HEAD", f"{ALL}/{ours}/participants", by="alice")[0] == 405


def test_the_schema_describes_these_paths_too() -> None:
    described: dict[str, Any] = Client().get("/api/schema").json()["paths"]
    ours = {
        f"/{each.pattern}".replace("<str:", "{").replace("<path:", "{").replace(">", "}")
        for each in urlpatterns
    }
    assert ours <= described.keys()
    assert described[f"{ALL}/{{conversation_id}}/participants/{{user_id}}"].keys() == {"delete"}
    assert described[ALL]["get"]["security"] == [{"Bearer": []}]
