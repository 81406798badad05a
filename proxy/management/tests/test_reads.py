"""What staff see from a shell: the readers of admin's pages, as lines and as JSON."""

from __future__ import annotations

import re
import time
from contextlib import closing
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster.samples import STREAM
from proxy.core.samples import Sample
from proxy.management.tests.playing import play
from proxy.models import Block, MemberReport, PoolMember
from proxy.tables import minutes
from proxy.tests.rows import add_connection, add_node, add_refusal

pytestmark = pytest.mark.usefixtures("any_database")

HOSTILE = "\x1b]0;owned\x07\x9b2J\r\nada\u202e"


def test_a_healthy_gateway_is_called_so_with_its_figures_of_the_last_minute() -> None:
    add_node()
    for name, user in (("a", "42"), ("b", "42"), ("c", "7")):
        add_connection(name, user_id=user)
    minutes.write([Sample(at=int(time.time()) // 60 * 60, seconds=60, opens={"game": 120}, messages_in=600)])

    found = play("status")
    assert (found.code, found.out.splitlines()[0]) == (0, "Healthy")
    for line in (
        "links     3 of 2 users",
        "opens     2.0/s",
        "messages  10/s in, 0/s out",
        "nodes     1 running",
    ):
        assert line in found.out.splitlines()

    told = play("status", "--json").told
    assert (told["level"], told["nodes"]["running"]) == ("well", 1)
    assert told["totals"] == {"links": 3, "users": 2, "is_bounded": False}
    assert (told["figures"]["opens"], told["figures"]["seconds"]) == (2, 60)


def test_what_is_bad_is_said_first_and_ends_with_1_the_document_still_there() -> None:
    add_refusal("r1", cause="token_expired", times=3)
    found = play("status", "--json")
    assert (found.code, found.told["level"]) == (1, "bad")
    assert found.told["says"] == ["no node runs", "3 refused in 5 min: the token had expired"]
    assert found.told["refused"] == {"minutes": 5, "times": 3, "by_cause": {"token_expired": 3}}
    assert (found.told["figures"], found.err) == (None, "")
    assert "figures  no node has told any lately" in play("status").out.splitlines()


def test_figures_are_the_last_seconds_that_nodes_told_redis(
    settings: Settings, own_valkey: ValkeyServer
) -> None:
    settings.REDIS_URL = own_valkey.url
    add_node("n1")
    now = int(time.time())
    with closing(Redis.from_url(own_valkey.url)) as redis:
        for at, messages in ((now - 60, 1_000), (now - 3, 20), (now - 2, 0)):
            for node in ("n1", "n2"):
                sample = Sample(at=at, links={"game": 2}, messages_in=messages, resident_bytes=1 << 20)
                words = ("node", node, "name", "box:7", "state", "running", "sample", sample.encoded())
                position = f"{(at + 1) * 1000}-*"
                redis.execute_command("XADD", STREAM, position, *words)  # type: ignore[no-untyped-call]

    told = play("status", "--json").told
    assert (told["figures"]["messages_in"], told["figures"]["seconds"]) == (20, 2)
    assert "messages  20/s in, 0/s out" in play("status").out.splitlines()
    (node,) = play("nodes", "--json").told
    assert (node["id"], node["messages_a_second"], node["resident_bytes"]) == ("n1", 10, 1 << 20)
    assert play("nodes").out.splitlines()[1].split()[:4] == ["box:7", "running", "0", "10/s"]


def test_a_redis_that_is_away_is_part_of_the_verdict_and_no_failure_of_the_list(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    add_node()
    found = play("status", "--json")
    assert (found.code, found.told["redis_is_away"]) == (1, True)
    assert "Redis is away" in found.told["says"]
    listed = play("nodes", "--json")
    assert (listed.code, listed.told[0]["messages_a_second"]) == (0, None)
    assert listed.err.startswith("what nodes do is not known: ")


def test_nodes_that_drain_or_were_lost_are_called_so() -> None:
    add_node("n1", draining=True)
    add_node("n2", silent_seconds=120)
    add_connection("a", node_id="n1")
    assert [(each["id"], each["state"], each["links"]) for each in play("nodes", "--json").told] == [
        ("n1", "draining", 1),
        ("n2", "gone", 0),
    ]
    assert play("status", "--json").told["nodes"] == {"running": 0, "draining": 1, "gone": 1}


def test_members_have_their_health_since_when_and_their_links() -> None:
    add_node()
    now = timezone.now()
    PoolMember.objects.create(pool="studio", url="ws://a:1/ws", weight=3)
    PoolMember.objects.create(pool="studio", url="ws://b:1/ws", draining=True)
    seen = {"pool": "studio", "node_id": "n1", "breaker": "closed", "updated_at": now}
    since = now - timedelta(minutes=5)
    MemberReport.objects.create(
        url="ws://a:1/ws", state="unhealthy", since=since, links=4, last_error=HOSTILE, **seen
    )
    MemberReport.objects.create(url="ws://b:1/ws", state="draining", since=since, dial_ms=2.5, **seen)

    one, two = play("members", "--json", "--pool", "studio").told
    assert (one["state"], one["links"], one["weight"], one["from"]) == ("unhealthy", 4, 3, "admin")
    assert one["since"] is not None
    assert [(each["node"], each["links"]) for each in one["nodes"]] == [("box:7", 4)]
    assert (two["state"], two["draining"], two["dial_ms"]) == ("draining", True, 2.5)
    shown = play("members").out
    assert re.search(r"unhealthy +5m \d\ds ago", shown)
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e")


def test_a_pool_that_is_not_there_is_a_mistake_and_those_that_are_get_named() -> None:
    found = play("members", "--pool", "studoi")
    assert (found.code, found.out) == (2, "")
    assert "there is no pool 'studoi'; did you mean studio? There are: " in found.err


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ([], ["r3", "r2", "r1"]),
        (["--user", "42"], ["r2", "r1"]),
        (["--address", "2001:db8:0::1"], ["r3"]),
        (["--cause", "blocked"], ["r2"]),
        (["--reason", "KEY"], ["r1"]),
        (["--route", "chat"], ["r3"]),
        (["--since", "30m"], ["r3", "r2"]),
        (["--since", "2020-01-01"], ["r3", "r2", "r1"]),
        (["--limit", "1"], ["r3"]),
    ],
)
def test_refusals_are_found_by_each_of_what_a_ticket_says(words: list[str], ids: list[str]) -> None:
    now = timezone.now()
    add_refusal("r1", user_id="42", refused_at=now - timedelta(hours=1), reason="another key")
    add_refusal("r2", user_id="42", refused_at=now - timedelta(minutes=1), cause="blocked", status=403)
    add_refusal("r3", client_address="2001:db8::1", refused_at=now, route="chat", times=212)

    found = play("refusals", "--json", *words)
    assert [each["id"] for each in found.told] == ids
    assert ("there are more" in found.err) is (words == ["--limit", "1"])
    assert len(play("refusals", *words).out.splitlines()) == len(ids) + 1


@pytest.mark.parametrize(
    "words",
    [["--address", "10.0.0.0/8"], ["--since", "soon"], ["--limit", "0"], ["--since", "2026-13-45"]],
)
def test_an_option_that_is_none_is_a_mistake(words: list[str]) -> None:
    found = play("refusals", *words)
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert found.err.startswith("CommandError: ")


def test_what_clients_chose_reaches_no_terminal_as_it_was() -> None:
    add_node()
    add_connection("link", user_id=HOSTILE, user_agent=HOSTILE, path=HOSTILE, email=HOSTILE)
    add_refusal("r1", user_id=HOSTILE, user_agent=HOSTILE, reason=HOSTILE, path=HOSTILE)
    Block.objects.create(user_id=HOSTILE, reason=HOSTILE)

    for command in (["connections"], ["refusals"], ["blocks"], ["person", "link"]):
        shown, document = play(*command), play(*command, "--json")
        assert shown.code == document.code == 0
        assert "⟨U+001B⟩" in shown.out
        for text in (shown.out, document.out):
            assert all(each.isprintable() for line in text.split("\n") for each in line)
        assert document.out.isascii()
        assert "\\u001b]0;owned" in document.out


def test_blocks_that_hold_are_listed_and_those_that_are_over_where_asked_for() -> None:
    ada = User.objects.create_user("ada")
    now = timezone.now()
    Block.objects.create(user_id="42", reason="spam", created_by=ada)
    Block.objects.create(network="10.0.0.0/8", until=now + timedelta(hours=1))
    Block.objects.create(user_id="7", until=now - timedelta(hours=1))

    wide, one = play("blocks", "--json").told
    assert (wide["network"], wide["holds"], wide["by"]) == ("10.0.0.0/8", True, "")
    assert (one["user_id"], one["until"], one["reason"], one["by"]) == ("42", None, "spam", "ada")
    over = play("blocks", "--all", "--json").told[0]
    assert (over["user_id"], over["holds"]) == ("7", False)
    assert "over since" in play("blocks", "--all").out
    assert [each["user_id"] for each in play("blocks", "--user", "42", "--json").told] == ["42"]


@pytest.mark.parametrize("term", ["42", "ada@example.org", "192.0.2.7", "a" * 32, "req-1", "req-2"])
def test_a_person_is_found_by_whatever_one_has_and_their_story_told(term: str) -> None:
    add_node()
    known = {"user_id": "42", "email": "ada@example.org", "client_address": "192.0.2.7"}
    add_connection("a" * 32, request_id="req-1", **known)
    add_refusal("r1", request_id="req-2", **known)
    Block.objects.create(user_id="42", reason="spam")

    told = play("person", term, "--json").told
    person = told["person"]
    assert (told["people"][0]["user_id"], person["user_id"]) == ("42", "42")
    assert [row["id"] for row in person["live"]] == ["a" * 32]
    assert [block["reason"] for block in person["blocks"]] == ["spam"]
    lines = [(entry["kind"], entry["request_id"]) for entry in person["timeline"]]
    assert lines == [("refusal", "req-2"), ("opened", "req-1")]
    assert person["live"][0]["words"] == ""
    assert person["older"] is None
    shown = play("person", term).out
    for words in ("kept out for good: 42, spam", "Turned away: the token had expired", "Connected to game"):
        assert words in shown


def test_a_connection_that_has_ended_says_in_words_why() -> None:
    add_connection("a", closed=True, cause="client_left")
    assert play("connections", "--all", "--json").told[0]["words"] == "the client closed it"


def test_a_long_story_goes_on_where_the_last_page_ended() -> None:
    for number in range(60):
        add_refusal(f"r{number:02}", user_id="42", refused_at=timezone.now() - timedelta(minutes=number))
    first = play("person", "42", "--json").told["person"]
    assert len(first["timeline"]) == 50
    rest = play("person", "42", "--json", "--before", first["older"]).told["person"]
    assert len({entry["id"] for entry in first["timeline"] + rest["timeline"]}) == 60
    assert rest["older"] is None
    assert f"older: --before '{first['older']}'" in play("person", "42").out
    wrong = play("person", "42", "--before", "yesterday").err
    assert wrong.startswith("CommandError: --before: that is no `older`")


def test_several_people_at_an_address_are_named_and_nobody_is_a_failure() -> None:
    for user in ("1", "2"):
        add_connection(f"c{user}", user_id=user, client_address="192.0.2.7")
    told = play("person", "192.0.2.7", "--json").told
    assert ([each["user_id"] for each in told["people"]], told["person"]) == (["1", "2"], None)
    assert play("person", "192.0.2.7").out.splitlines()[0] == "2 people; name one:"

    nobody = play("person", "nobody", "--json")
    assert (nobody.code, nobody.err) == (1, "CommandError: nothing is known of nobody\n")
    assert nobody.told == {"code": "failed", "message": "nothing is known of nobody"}


def test_a_record_of_nobody_known_is_told(any_database: None) -> None:
    add_refusal("r1", request_id="req-9", client_address="192.0.2.9")
    told = play("person", "req-9", "--json").told
    assert ([each["id"] for each in told["refusals"]], told["connections"]) == (["r1"], [])
    assert told["refusals"][0]["words"] == "the token had expired"
    said = "refusal r1 of nobody known: the token had expired, on game from 192.0.2.9, request req-9"
    assert said in play("person", "req-9").out


def test_lists_of_nothing_say_so_and_are_empty_arrays() -> None:
    told = {"nodes": "no node runs", "refusals": "nobody was turned away", "blocks": "nobody is blocked"}
    for command, words in told.items():
        assert play(command).out == f"{words}\n"
        assert play(command, "--json").told == []
