"""POST /api/kick: who may end which links, and what is answered."""

from __future__ import annotations

import logging

import pytest
from django.utils import timezone

from config.testing.servers import PostgresServer
from proxy.cluster import kicks
from proxy.cluster.questions import LayerAway
from proxy.models import Kick, ProgramDeed
from proxy.rest.tests.calling import key, may, post
from proxy.tables import blocking, choosing, counting
from proxy.tests.rows import add_connection, add_node


@pytest.mark.usefixtures("any_database")
def test_a_key_that_may_kick_does_and_the_log_names_it(caplog: pytest.LogCaptureFixture) -> None:
    mine = key(kick=True)
    with caplog.at_level(logging.INFO):
        asked = {"user_ids": ["ada", "bob"], "connection_ids": ["a"], "reason": "Restart, please"}
        assert post(asked, by=mine, path="/api/kick") == (200, {"ended": 0, "silent": 0})
    row = Kick.objects.get()
    assert (row.user_ids, row.connection_ids, row.reason) == (["ada", "bob"], ["a"], "Restart, please")
    (line,) = [each for each in caplog.records if each.getMessage() == "kick"]
    assert vars(line)["by"].startswith("key game (")
    assert post({"everyone": True}, by=mine, path="/api/kick")[0] == 200
    assert Kick.objects.filter(everyone=True).count() == 1


@pytest.mark.usefixtures("any_database")
def test_a_filter_finds_whom_to_kick_and_a_dry_run_says_how_many() -> None:
    for link, user_id, route in (
        ("a", "ada", "experience"),
        ("b", "bob", "experience"),
        ("c", "ada", "studio"),
    ):
        add_connection(link, user_id=user_id, route=route)
    mine = key(kick=True)
    asked = {"filter": {"route": "experience"}, "reason": "Restart, please"}

    def links(**whom: object) -> object:
        return post({**asked, **whom, "dry_run": True}, by=mine, path="/api/kick")[1]["links"]

    assert links() == 2
    assert links(filter={"route": "experience", "user": "ada"}) == 1
    assert [links(filter={}, **each) for each in ({"user_ids": ["ada"]}, {"everyone": True})] == [2, 3]
    assert not Kick.objects.exists()
    nobody = {**asked, "filter": {"user": "eve"}}
    assert post(nobody, by=mine, path="/api/kick") == (200, {"ended": 0, "silent": 0})
    assert not Kick.objects.exists()
    assert post(asked, by=mine, path="/api/kick")[0] == 200
    assert Kick.objects.get().connection_ids == ["a", "b"]
    deed = ProgramDeed.objects.get()
    assert (deed.found_by, deed.reason) == ("route=experience", "Restart, please")


@pytest.mark.django_db
def test_filters_find_what_those_of_the_command_find() -> None:
    add_node("n1")
    add_node("n2", host="other", stopped_at=timezone.now())
    add_connection("a", route="game", client_address="192.0.2.7")
    add_connection("b", route="game", client_address="192.0.2.8")
    add_connection("c", route="was", client_address="192.0.2.8", closed=True)
    mine = key(kick=True)

    def links(**wanted: str) -> object:
        code, told = post({"filter": wanted, "reason": "x", "dry_run": True}, by=mine, path="/api/kick")
        return told["links"] if code == 200 else told["message"]

    assert [links(address="::ffff:192.0.2.7"), links(node="box:7"), links(node="n1")] == [1, 2, 2]
    assert [links(route="was"), links(node="other:7"), links(node="box:8")] == [0, 0, 0]
    assert links(address="10/8") == "address is one IP address, got '10/8'"
    assert links(topic=" ") == "topic is empty"
    add_node("n3")
    assert links(node="box:7") == "node is the name of several; give an id"


@pytest.mark.django_db
def test_counting_stops_where_lists_do_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for link in "abc":
        add_connection(link, user_id="ada", route="experience")
    for module in (counting, choosing, blocking):
        monkeypatch.setattr(module, "MOST_COUNTED", 2)
    mine = may("kick_connection", "message_connection", "broadcast_connection", "add_block")
    ada, said = {"user_ids": ["ada"], "dry_run": True}, {"text": "Hello", "reason": "why"}
    for path, body in (
        ("kick", ada),
        ("kick", {"everyone": True, "dry_run": True}),
        ("message", ada | said),
        ("broadcast", {"dry_run": True} | said),
        ("block", {"user_id": "ada", "until": None, "reason": "why", "dry_run": True}),
    ):
        code, told = post(body, by=mine, path=f"/api/{path}")
        assert (code, told["links"], told["is_bounded"]) == (200, 2, True), path
    found = {"filter": {"route": "experience"}, "reason": "why"}
    for path, more in (("kick", {}), ("message", {"text": "Hello"})):
        code, told = post(found | more, by=mine, path=f"/api/{path}")
        assert code == 400
        assert told["message"] == "more than 2 links have route=experience: choose fewer, or name the users"
    assert not Kick.objects.exists()


@pytest.mark.django_db
def test_who_may_publish_may_not_kick() -> None:
    status, told = post({"everyone": True}, by=key("*", list_connections=True), path="/api/kick")
    assert (status, told["code"]) == (403, "forbidden")
    assert not Kick.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "kick somebody"),
        ({"everyone": True, "user_ids": ["ada"]}, "kick somebody"),
        ({"user_ids": "ada"}, "user_ids: Expected a list"),
        ({"user_ids": [5]}, "user_ids: 0: Not a valid string."),
        ({"user_ids": [""]}, "may not be blank"),
        ({"user_ids": [" "]}, "a text that is not empty"),
        ({"connection_ids": ["\0"]}, "Null characters are not allowed"),
        ({"connection_ids": ["a"] * 1001}, "no more than 1000 elements"),
        ({"user": "ada"}, "no such field: user"),
        ({"filter": {"user": "ada"}, "user_ids": ["ada"], "reason": "x"}, "a filter says it all"),
        ({"filter": {"user": "ada"}}, "reason: say why"),
        (
            {"filter": {"route": "expereince"}, "reason": "x"},
            "route: there is no route 'expereince'",
        ),
        ({"filter": {}}, "kick somebody"),
        ({"user_ids": ["ada"], "reason": "x" * 124}, "reason: Ensure this field has no more than 123"),
        ([], "Expected a dictionary"),
    ],
)
def test_a_kick_that_could_not_be_meant_ends_nothing(body: object, says: str) -> None:
    status, told = post(body, by=key(kick=True), path="/api/kick")
    assert (status, told["code"]) == (400, "bad_request")
    assert says in told["message"]
    assert not Kick.objects.exists()


def test_a_kick_that_neither_store_takes_whole_is_a_503_and_some_may_have_heard_of_it(
    postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_of = list[str]()

    async def away(topic: str, _: object) -> None:
        told_of.append(topic)
        if topic == "user:bob":
            postgres_database.kill()  # the database goes between the key and the kick
            raise LayerAway("Redis is away")

    monkeypatch.setattr(kicks, "send_to_topic", away)
    status, told = post({"user_ids": ["ada", "bob"]}, by=key(kick=True), path="/api/kick")
    assert (status, told["code"], told_of) == (503, "not_sent", ["user:ada", "user:bob"])
    assert told["message"].endswith("some links may have ended all the same.")
