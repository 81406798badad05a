"""What staff see in admin, over HTTP: the same rows, the same finding, and a bounded number of queries."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from proxy import status as how
from proxy.core.figures import told
from proxy.core.people import NoteKind
from proxy.core.samples import Sample
from proxy.core.series import SPANS, series
from proxy.models import Block, MemberReport, PoolMember, ProgramDeed, Revocation
from proxy.rest import status as views
from proxy.rest.tests.calling import get, may, post, results
from proxy.rest.urls import urlpatterns
from proxy.tables.deeds import Details, note_deed
from proxy.tables.staff_notes import note
from proxy.tests.rows import add_connection, add_node, add_refusal

pytestmark = pytest.mark.usefixtures("any_database")

ALL = ("view_connection", "view_refusal", "view_block", "view_revocation", "view_node", "view_poolmember",
       "view_deed", "view_staffnote")  # fmt: skip
SECOND = Sample(at=1, links={"game": 3}, opens={"game": 2}, messages_in=8, bytes_out=16)


@pytest.fixture
def mine() -> str:
    return may(*ALL)


def add_refusals() -> None:
    now = timezone.now()
    add_refusal("a", refused_at=now - timedelta(minutes=9), user_id="ada", cause="blocked")
    add_refusal("b", refused_at=now - timedelta(minutes=2), client_address="2001:db8::7", request_id="r7")
    add_refusal("c", refused_at=now, route="studio", email="ada@example.org")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["c", "b", "a"]),
        ("?user=ada", ["a"]),
        ("?cause=blocked", ["a"]),
        ("?route=studio", ["c"]),
        ("?email=ada@example.org", ["c"]),
        ("?address=2001:DB8:0::7", ["b"]),
        ("?request=r7", ["b"]),
        ("?limit=2", ["c", "b"]),
    ],
)
def test_refusals_are_found(mine: str, query: str, found: list[str]) -> None:
    add_refusals()
    assert results(f"/api/refusals{query}", mine) == found


def test_a_word_that_is_on_a_record_is_known_though_no_release_has_it(mine: str) -> None:
    add_refusal("x", cause="closed_on_sundays", route="old")
    add_connection("a", route="older")
    add_connection("b", route="oldest", closed=True)
    for query in ("cause=closed_on_sundays", "route=old"):
        assert results(f"/api/refusals?{query}", mine) == ["x"]
    assert results("/api/refusals?route=none", mine) == []
    assert results("/api/connections?route=older", mine) == ["a"]
    assert results("/api/connections?state=closed&route=oldest", mine) == ["b"]
    assert results("/api/audit?kind=proxy.Block", mine) == []
    ProgramDeed.objects.create(who="a shell", kind="old.kind", about="x")
    assert results("/api/audit?kind=Old.Kind", mine, "kind") == ["old.kind"]
    assert results("/api/audit?kind=old.kind&since=2999-01-01", mine) == []


def test_what_is_called_wrongly_is_told_what_there_is_and_no_record_that_is_read_alone(mine: str) -> None:
    _, told = get("/api/audit?kind=proxy.blok", by=mine)
    kinds = told["message"].partition("There are: ")[2].split(", ")
    assert {"auth.group", "auth.user", "proxy.block", "proxy.connection", "proxy.person"} <= {*kinds}
    assert not {"proxy.refusal", "proxy.deed", "proxy.kick", "sessions.session"} & {*kinds}
    assert get("/api/audit?kind=proxy.refusal", by=mine)[0] == 400


def test_who_was_connected_is_told_in_words_with_the_request_that_it_was(mine: str) -> None:
    add_connection("a", user_id="ada", closed=True, cause="client_left", request_id="r1")
    add_refusal("x", user_id="ada", request_id="r2")
    (link,) = get("/api/connections?state=closed", by=mine)[1]["results"]
    assert (link["words"], link["request_id"]) == ("the client closed it", "r1")
    lines = get("/api/people/ada", by=mine)[1]["timeline"]
    assert {(each["kind"], each["request_id"]) for each in lines} == {
        *{("opened", "r1"), ("closed", "r1"), ("refusal", "r2")}
    }


def test_pages_of_refusals_follow_each_other_and_words_say_why(mine: str) -> None:
    add_refusals()
    _, told = get("/api/refusals?limit=2", by=mine)
    _, rest = get(told["next"].removeprefix("http://testserver"), by=mine)
    assert [each["id"] for each in rest["results"]] == ["a"]
    assert rest["next"] is None
    assert told["results"][0]["words"] == "the token had expired"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/refusals?address=here", "is no IP address"),
        ("/api/refusals?adress=::1", "no such filter: adress"),
        (
            "/api/refusals?cause=token_expird",
            "cause: there is no cause 'token_expird'; did you mean token_expired?",
        ),
        ("/api/refusals?cause=", "cause: there is no cause ''. There are: "),
        (
            "/api/refusals?route=stduio",
            "route: there is no route 'stduio'; did you mean studio?",
        ),
        (
            "/api/connections?route=stduio",
            "route: there is no route 'stduio'; did you mean studio?",
        ),
        ("/api/connections?reason=spam", "no such filter: reason"),
        ("/api/presence/everyone?limit=1&limit=2", "limit: it is given twice"),
        (
            "/api/audit?kind=proxy.blok",
            "kind: there is no kind 'proxy.blok'; did you mean proxy.block?",
        ),
        ("/api/audit?kind=block", "kind: there is no kind 'block'"),
        ("/api/blocks?network=here", "'here' is no address and no network"),
        ("/api/blocks?network=", "'' is no address and no network"),
        ("/api/blocks?network=192.0.2.0/33", "is no address and no network"),
        ("/api/blocks?state=gone", "state is holding or over or all"),
        ("/api/nodes?state=lost", "state is running or stopped or all"),
        ("/api/nodes?limit=0", "limit is a number from 1 to 1000"),
        ("/api/pools?limit=1", "no such field: limit"),
        ("/api/status?span=1h", "no such field: span"),
        ("/api/series?span=2h", "span: "),
        ("/api/audit?before=there", "it is no place in this list"),
        ("/api/audit?done=kicked", "done: "),
        ("/api/audit?who=a&who=b", "who: it is given twice"),
        ("/api/audit?since=soon", "since: Datetime has wrong format"),
        ("/api/messages?kind=x", "no such field: kind"),
        ("/api/people", "q: This field is required."),
        ("/api/people?q=", "q: This field may not be blank."),
        ("/api/people/ada?before=now", "it is no place in this story"),
    ],
)
def test_what_could_not_be_meant_is_said_so(mine: str, path: str, says: str) -> None:
    code, told = get(path, by=mine)
    assert (code, told["code"]) == (400, "bad_request")
    assert says in told["message"]


def test_revocations_nodes_and_pools_are_told(mine: str) -> None:
    Revocation.objects.create(user_id="ada", issued_before=timezone.now(), source="key game (1)")
    Revocation.objects.create(jti="x-1", source="vera")
    assert results("/api/revocations", mine, "by") == ["vera", "key game (1)"]
    assert results("/api/revocations?jti=x-1", mine, "by") == ["vera"]

    add_node("n1")
    add_node("n2", silent_seconds=300)
    add_node("n3", stopped_at=timezone.now())
    add_connection("a")
    _, told = get("/api/nodes", by=mine)
    seen = {each["id"]: (each["state"], each["links"], each["name"]) for each in told["results"]}
    assert seen == {"n1": ("running", 1, "box:7"), "n2": ("silent", 0, "box:7")}
    assert results("/api/nodes?state=stopped", mine) == ["n3"]
    assert len(results("/api/nodes?state=all", mine)) == 3

    PoolMember.objects.create(pool="studio", url="ws://one:9000", weight=3, draining=True)
    row = {"pool": "studio", "url": "ws://one:9000", "breaker": "closed", "updated_at": timezone.now()}
    MemberReport.objects.create(node_id="n1", state="draining", links=4, last_error="timed out", **row)
    pools = {each["name"]: each for each in get("/api/pools", by=mine)[1]["results"]}
    (member,) = pools["studio"]["members"]
    assert (
        member.items()
        >= {
            "url": "ws://one:9000",
            "state": "draining",
            "draining": True,
            "weight": 3,
            "links": 4,
            "last_error": "timed out",
            "takes_new_links": False,
            "max_connections": None,
        }.items()
    )


def test_the_audit_is_told_page_by_page_and_messages_alone(mine: str) -> None:
    vera = User.objects.create_user("vera")
    note_deed(vera, Block, "Blocked", about="ada", object_id="7")
    details = Details(count=2, reason="a restart", found_by="route=game")
    note_deed("key game (1)", PoolMember, "Draining it", about="x", details=details)
    note_deed("shell: root", type(add_connection("a")), "Told 2 connections “hi”: why", about="everyone")
    code, told = get("/api/audit?limit=2", by=mine)
    assert code == 200
    last, older = told["results"]
    assert (last["who"], last["by_program"], last["kind"], last["done"]) == (
        *("shell: root", True, "proxy.connection", "changed"),
    )
    assert (older["count"], older["reason"], older["found_by"]) == (2, "a restart", "route=game")
    _, rest = get(f"/api/audit?limit=2&before={told['older']}", by=mine)
    (first,) = rest["results"]
    assert (first["who"], first["by_program"], first["object_id"], rest["older"]) == (
        "vera",
        False,
        "7",
        None,
    )
    assert results("/api/audit?who=vera", mine, "said") == ["Blocked"]
    assert results("/api/audit?kind=proxy.poolmember&done=changed&text=drain", mine, "who") == [
        "key game (1)"
    ]
    assert results("/api/messages", mine, "who") == ["shell: root"]
    assert results("/api/messages?text=nothing", mine) == []


def add_story() -> None:
    add_connection("live", user_id="ada/b c", client_address="192.0.2.7", email="ada@example.org")
    add_connection("past", user_id="ada/b c", closed=True, age_seconds=900, request_id="r7")
    add_refusal("turned", user_id="ada/b c", refused_at=timezone.now() - timedelta(days=1))
    note(["ada/b c"], NoteKind.NOTE, text="called us", by="vera")
    Block.objects.create(user_id="ada/b c", reason="spam")


@pytest.mark.parametrize("term", ["ada/b c", "ada@example.org", "192.0.2.7", "live", "r7", "ada/"])
def test_people_are_found_as_in_admin(mine: str, term: str) -> None:
    add_story()
    code, told = get(f"/api/people?q={term}", by=mine)
    assert (code, [each["user_id"] for each in told["people"]]) == (200, ["ada/b c"])


def test_a_person_who_is_known_is_told_with_figures(mine: str) -> None:
    add_story()
    (found,) = get("/api/people?q=ada/b c", by=mine)[1]["people"]
    assert found == {"user_id": "ada/b c", "email": "ada@example.org", "connections": 2, "refusals": 1}
    (found,) = get("/api/people?q=ada/b c", by=may("view_connection"))[1]["people"]
    assert (found["connections"], found["refusals"]) == (2, 0)


def test_a_kick_makes_nobody_known_whom_a_block_does(mine: str) -> None:
    doing = may("kick_connection", "add_block")
    for user_id in ("adda", "eve"):
        assert post({"user_ids": [user_id]}, by=doing, path="/api/kick")[0] == 200
        assert get(f"/api/people?q={user_id}", by=mine)[1]["people"] == []
    placed = {"user_id": "eve", "until": None, "reason": "spam"}
    assert post(placed, by=doing, path="/api/block")[0] == 200
    (found,) = get("/api/people?q=eve", by=mine)[1]["people"]
    assert found == {"user_id": "eve", "email": "", "connections": 0, "refusals": 0}
    assert {line["words"] for line in get("/api/people/eve", by=mine)[1]["timeline"]} == {
        "Kicked by " + ProgramDeed.objects.filter(kind="proxy.connection")[0].who,
        "Blocked by " + ProgramDeed.objects.filter(kind="proxy.block")[0].who,
    }


def test_a_record_of_nobody_known_is_told_to_who_may_see_it(mine: str) -> None:
    add_refusal("x", request_id="r9")
    assert [each["id"] for each in get("/api/people?q=r9", by=mine)[1]["refusals"]] == ["x"]
    assert get("/api/people?q=r9", by=may("view_connection"))[1]["refusals"] == []


def test_a_story_has_what_the_caller_may_see(mine: str) -> None:
    add_story()
    code, told = get("/api/people/ada%2Fb%20c", by=mine)
    assert (code, told["user_id"], [each["id"] for each in told["live"]]) == (200, "ada/b c", ["live"])
    kinds = [each["kind"] for each in told["timeline"]]
    assert sorted(kinds) == ["closed", "note", "opened", "opened", "refusal"]
    assert [each["reason"] for each in told["blocks"]] == ["spam"]
    _, less = get("/api/people/ada%2Fb%20c", by=may("view_connection"))
    assert {each["kind"] for each in less["timeline"]} == {"opened", "closed"}
    assert less["blocks"] == []
    assert get("/api/people/nobody", by=mine)[1]["timeline"] == []
    assert get(f"/api/people/{'x' * 256}", by=mine)[0] == 404


def test_pages_of_a_story_follow_each_other(mine: str) -> None:
    for number in range(60):
        note(["ada"], NoteKind.NOTE, text=f"{number}", by="vera")
    _, told = get("/api/people/ada", by=mine)
    _, rest = get(f"/api/people/ada?before={told['older'].replace('+', '%2B')}", by=mine)
    said = [each["said"] for each in (*told["timeline"], *rest["timeline"])]
    assert said == [f"{number}" for number in reversed(range(60))]
    assert rest["older"] is None


def test_the_status_is_a_verdict_and_figures(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_node("n1")
    add_connection("a", user_id="ada")
    add_refusal("x", refused_at=timezone.now(), cause="token_expired", times=3)
    code, told = get("/api/status", by=mine)
    assert (code, told["figures"], told["totals"]) == (
        *(200, None),
        {"links": 1, "users": 1, "is_bounded": False},
    )
    assert told["refused"] == {"minutes": 5, "times": 3, "by_cause": {"token_expired": 3}}
    monkeypatch.setattr(how, "look", lambda: how.Seen(SECOND, redis_is_away=True))
    _, told = get("/api/status", by=mine)
    assert told["level"] != "well"
    assert any("Redis" in sentence for sentence in told["says"])
    assert (
        told["figures"].items()
        >= {
            "at": 1,
            "links_by_route": {"game": 3},
            "opens": 2,
            "messages_in": 8,
            "bytes_out": 16,
            "dial_p95_seconds": None,
            "loop_lag_seconds": 0.0,
        }.items()
    )


def test_series_are_those_of_the_charts_with_the_marks_that_the_caller_may_see(
    mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get("/api/series", by=mine)[1]["code"] == "unavailable"  # no node here

    async def charts(span: str) -> dict[str, Any]:
        return series(
            SPANS[span], [Sample(at=int(time.time()) - 60, links={"game": 3})], now=int(time.time())
        )

    charted = SimpleNamespace(figures=SimpleNamespace(charts=SimpleNamespace(series=charts)))
    monkeypatch.setattr(views, "node_here", lambda: charted)
    note_deed("key game (1)", PoolMember, "Draining ws://one: a restart", about="ws://one")
    code, told = get("/api/series?span=1h", by=mine)
    assert (code, told["span"], told["step_seconds"], len(told["at"])) == (200, "1h", 60, 60)
    assert {3} == {*told["links"]["game"]} - {None}
    assert [mark["words"] for mark in told["marks"]] == ["Draining ws://one: a restart (key game (1))"]
    assert get("/api/series", by=may("view_connection"))[1]["marks"] == []


def test_nothing_of_the_charts_is_left_out() -> None:
    charted = series(SPANS["15m"], [], now=int(time.time()))
    assert views.SeriesSerializer().fields.keys() == {*charted, "marks"}
    assert views.FiguresSerializer().fields.keys() == told(SECOND).keys()


READS = [
    f"/api/{each.pattern}".replace("<path:topic>", "everyone").replace("<path:user_id>", "ada")
    for each in urlpatterns
    if "GET" in getattr(getattr(each.callback, "cls", None), "needs", {})
    and "presence" not in str(each.pattern)
]


@pytest.mark.parametrize("path", READS)
def test_a_read_costs_as_many_queries_however_many_rows_there_are(mine: str, path: str) -> None:
    query = "?q=ada" if path.endswith("/people") else ""

    def add(name: str) -> None:
        add_connection(f"{name}", user_id="ada")
        add_connection(f"{name} closed", user_id="ada", closed=True)
        add_refusal(name, user_id="ada", refused_at=timezone.now())
        add_node(f"node {name}")
        Block.objects.create(user_id="ada", created_by=User.objects.create_user(name))
        Revocation.objects.create(jti=name)
        note(["ada"], NoteKind.NOTE, text=name, by="vera")
        note_deed("key game (1)", Block, name, about="ada")
        note_deed(User.objects.get(username=name), Block, name, about="ada")

    add("first")
    get(path + query, by=mine)  # the key is noted as used, and content types are read
    with CaptureQueriesContext(database) as few:
        get(path + query, by=mine)
    for number in range(15):
        add(f"more {number}")
    with CaptureQueriesContext(database) as many:
        assert get(path + query, by=mine)[0] in {200, 503}
    assert len(many) <= len(few) <= 14
