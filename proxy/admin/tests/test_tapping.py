"""The pages of a tap: what is asked, what becomes of it, and what is said where it cannot be."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import Error
from django.test import Client
from django.utils import timezone

from proxy.admin.tap_lines import head_of
from proxy.admin.tests.test_admin import log_in
from proxy.cluster import tapping
from proxy.cluster.questions import Answers, LayerAway, Question
from proxy.cluster.taps import scroll_of
from proxy.models import Tap
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.django_db
PAGE = "/admin/proxy/connection/a/change/"
ASK = "/admin/proxy/connection/a/tap/"
SURE = {"confirmed": "yes", "reason": "a complaint"}


class Nodes:
    """What nodes answer, and what they were told."""

    def __init__(self) -> None:
        self.says: list[dict[str, str]] | Exception = [{}, {"tap": "yes"}]
        self.silent = 0
        self.told: list[dict[str, Any]] = []

    def ask(self, questions: Sequence[Question]) -> list[Answers]:
        (asked,) = questions
        self.told.append(dict(asked.signal))
        if isinstance(self.says, Exception):
            raise self.says
        said = [{**each, "tap": asked.signal["tap"]} if "tap" in each else each for each in self.says]
        return [Answers(tuple(map(json.dumps, said)), self.silent)]

    def send(self, topic: str, signal: dict[str, Any]) -> None:
        assert topic == "connection:a"
        self.told.append(signal)

    @property
    def did(self) -> list[str]:
        return [each["do"] for each in self.told]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    nodes = Nodes()
    monkeypatch.setattr(tapping, "ask_sync", nodes.ask)
    monkeypatch.setattr(tapping, "send_to_topic_sync", nodes.send)
    return nodes


@pytest.fixture
def staff(client: Client, nodes: Nodes) -> Client:
    add_node("n1")
    add_connection("a", user_id="joe")
    return log_in(client, "view_connection", "tap_connection")


def told(client: Client, path: str, form: dict[str, str] | None = None) -> str:
    answer = client.get(path) if form is None else client.post(path, form, follow=True)
    return answer.content.decode()


def test_it_is_asked_first_and_takes_a_reason(staff: Client, nodes: Nodes) -> None:
    assert ASK in told(staff, PAGE)
    assert "for at most 5 minutes" in told(staff, ASK)
    assert "This field is required." in told(staff, ASK, SURE | {"reason": " "})
    assert nodes.told == []
    assert not Tap.objects.exists()


def test_it_begins_is_noted_once_and_old_ones_are_forgotten(staff: Client, nodes: Nodes) -> None:
    long_ago = timezone.now() - timedelta(days=2)
    Tap.objects.create(id="old", connection_id="a", by=User.objects.get(), until=long_ago)
    answer = staff.post(ASK, SURE)
    tap = Tap.objects.get()
    assert answer.headers["location"] == f"{ASK}{tap.pk}/"
    begin = nodes.told[0]
    assert (begin["do"], begin["tap"], begin["by"], begin["reason"]) == (
        "begin",
        tap.pk,
        "ada",
        "a complaint",
    )
    entry = LogEntry.objects.get()
    assert entry.change_message == "Tapped for at most 5 minutes: a complaint"
    assert (entry.object_id, entry.object_repr) == ("a", "joe on game (a)")
    for page in (PAGE, "/admin/proxy/connection/"):
        assert "tapped by <bdi>ada</bdi> until" in told(staff, page)
    assert "Looking, as of when this page was loaded." in told(staff, f"{ASK}{tap.pk}/")
    assert nodes.did == ["begin", "stay"], "a page that is loaded again says that somebody looks on"
    assert "Nobody looks at this connection any more." in told(staff, f"{ASK}{tap.pk}/stop/", {"x": ""})
    assert nodes.did == ["begin", "stay", "stop"]
    stopped = LogEntry.objects.order_by("pk").last()
    assert stopped is not None
    assert (stopped.change_message, stopped.object_id) == ("Stopped the tap of ada", "a")
    told(staff, f"{ASK}{tap.pk}/stop/", {"x": ""})
    assert nodes.did[-1] == "stop"
    assert nodes.did.count("stop") == 1
    assert LogEntry.objects.count() == 2, "what is over is not stopped again"
    assert "tapped by" not in told(staff, PAGE)
    assert "Over: it is over." in told(staff, f"{ASK}{tap.pk}/")


def test_others_stop_it_where_they_see_it_and_say_why(staff: Client, nodes: Nodes) -> None:
    staff.post(ASK, SURE)
    tap = Tap.objects.get()
    stop = f"{ASK}{tap.pk}/stop/"
    other = log_in(Client(), "view_connection", "tap_connection", name="bob")
    assert f'<a href="{stop}">Stop…</a>' in told(other, PAGE)
    assert "ada looks at what goes over this connection" in told(other, stop)
    assert "This field is required." in told(other, stop, SURE | {"reason": ""})
    assert nodes.did == ["begin"], "what is asked is not done"
    assert "Nobody looks at this connection any more." in told(other, stop, SURE)
    assert (nodes.told[-1]["do"], nodes.told[-1]["by"]) == ("stop", "bob")
    entry = LogEntry.objects.latest("pk")
    assert entry.change_message == "Stopped the tap of ada: a complaint"
    assert (entry.user.get_username(), entry.object_id) == ("bob", "a")
    assert "by nobody" in told(other, PAGE)
    told(other, stop)
    told(other, stop, SURE)
    assert (nodes.did.count("stop"), LogEntry.objects.count()) == (1, 2), "what is over is not stopped again"


def test_who_may_only_see_the_connection_is_offered_no_stop(staff: Client, nodes: Nodes) -> None:
    staff.post(ASK, SURE)
    stop = f"{ASK}{Tap.objects.get().pk}/stop/"
    other = log_in(Client(), "view_connection", name="eve")
    page = told(other, PAGE)
    assert "tapped by <bdi>ada</bdi> until" in page
    assert stop not in page
    assert other.post(stop, SURE).status_code == other.get(stop).status_code == 403
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = staff.cookies
    assert forged.post(stop, SURE).status_code == 403
    assert nodes.did == ["begin"]


@pytest.mark.parametrize(
    ("says", "silent", "shown"),
    [
        ([], 0, "it has ended"),
        ([{}], 0, "it has ended"),
        ([{}], 1, "its node does not answer"),
        ([{"why": "its node drains"}], 0, "its node drains"),
        (LayerAway("Redis is away"), 0, "Redis is away"),
    ],
)
def test_where_nobody_looks_on_nothing_is_noted(
    staff: Client, nodes: Nodes, says: Any, silent: int, shown: str
) -> None:
    nodes.says, nodes.silent = says, silent
    assert f"Nobody looks on: {shown}." in told(staff, ASK, SURE)
    assert not Tap.objects.exists()
    assert not LogEntry.objects.exists()
    may_look = bool(silent) or isinstance(says, Exception)
    assert nodes.did == ["begin", "stop"][: 1 + may_look], "an answer that is late leaves none behind"


def test_what_cannot_be_noted_is_not_looked_at(
    staff: Client, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise Error("the database is away")

    monkeypatch.setattr(tapping, "note_deed", away)
    with pytest.raises(Error):
        staff.post(ASK, SURE)
    assert nodes.did == ["begin", "stop"]
    assert not Tap.objects.exists()


@pytest.mark.parametrize("says", [[], LayerAway("Redis is away")], ids=["silent", "away"])
def test_a_stop_that_no_node_has_heard_says_so_and_ends_it_for_all_the_same(
    staff: Client, nodes: Nodes, says: Any
) -> None:
    staff.post(ASK, SURE)
    tap = Tap.objects.get()
    nodes.says, nodes.silent = says, 1
    page = told(staff, f"{ASK}{tap.pk}/stop/", {"x": ""})
    assert "Its node has not answered." in page
    assert "Nobody looks at this connection any more" not in page
    tap.refresh_from_db()
    assert tap.until <= timezone.now()
    told(staff, f"{ASK}{tap.pk}/")
    assert nodes.did == ["begin", "stop"], "nobody tells it to go on"


def test_a_connection_that_is_closed_is_not_looked_at(staff: Client, nodes: Nodes) -> None:
    add_connection("b", closed=True)
    assert "Look at messages" not in told(staff, "/admin/proxy/connection/b/change/")
    assert "not live any more" in told(staff, "/admin/proxy/connection/b/tap/", SURE)
    assert nodes.told == []


def test_what_was_seen_is_shown_as_text_and_only_the_last_of_it(staff: Client, nodes: Nodes) -> None:
    tap = Tap.objects.create(
        connection_id="a", by=User.objects.get(), until=timezone.now() + timedelta(seconds=60)
    )
    line = {"at": 1.5, "way": "in", "kind": "text", "size": 1, "wire": 0, "cut": False, "left_out": 0}
    lines = [{**line, "text": f"<i>{number}</i>"} for number in range(600)]
    layer_store = get_channel_layer().store
    layer_store._scrolls.append(  # of the memory's, which tests have
        scroll_of(tap.pk),
        json.dumps({"lines": lines, "left_out": 1234, "kept_back": 1, "ended": None}),
        most=9,
        seconds=60,
    )
    page = told(staff, f"{ASK}{tap.pk}/")
    assert "&lt;i&gt;599&lt;/i&gt;" in page
    assert "&lt;i&gt;99&lt;/i&gt;" not in page
    assert page.count("from client · text · 1 byte<") == 500
    assert re.findall(r'data-unseen="(\w+)"( hidden)?>', page) == [
        ("left_out", ""),
        ("dropped", " hidden"),
        ("kept_back", ""),
    ]
    assert "at once: <span>1,234</span>" in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page


def test_a_line_says_when_which_way_what_and_how_much() -> None:
    line = {"at": 3661.5, "way": "out", "kind": "text", "size": 5000, "wire": 1, "cut": True, "left_out": 2}
    said = "01:01:01.500 · to client · text · 5,000 bytes · 1 byte compressed · cut · 2 left out before"
    assert head_of(line) == said
