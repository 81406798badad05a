"""A person's page: what it tells, to whom, in how many queries; and how people are found."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from proxy.admin.people.urls import person_url
from proxy.cluster.revocations import revoke
from proxy.core.link_events import LinkEventKind
from proxy.core.people import NoteKind
from proxy.models import Block, Kick, LinkEvent, Refusal, StaffNote
from proxy.tables.people import MOST_LIVE, PAGE_ENTRIES, Sight, story_of
from proxy.tables.staff_notes import note, note_kick
from proxy.tests.rows import add_connection, add_refusal

FIND = "/admin/proxy/person/"
LIFTED = {"confirmed": "yes", "reason": "a mistake"}
ADA = f"{FIND}ada/"
ALL = (
    *("view_connection", "view_refusal", "view_block", "view_revocation", "view_staffnote"),
    *("add_staffnote", "delete_staffnote", "kick_connection", "add_block", "delete_block", "revoke_tokens"),
)

pytestmark = pytest.mark.django_db


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, url: str = ADA, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


def told(html: str) -> list[str]:
    """The lines of the timeline, without when they were."""
    rows = html.partition('id="result_list"')[2].partition("</table>")[0].split("<tr data-key")[1:]
    cells = (row.split("<td>")[2] for row in rows)
    return [unescape(" ".join(re.sub("<[^>]+>", " ", cell).split())) for cell in cells]


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def add_event(event_id: str, *, user_id: str, at: datetime, **values: Any) -> None:
    given = {"connection_id": "c", "kind": LinkEventKind.FAILOVER, **values}
    LinkEvent.objects.create(id=event_id, user_id=user_id, at=at, **given)


@pytest.fixture
def story() -> None:
    """Of ada: refused, let in, carried over, kicked, blocked, unblocked, revoked; and live again."""
    add_refusal("r", user_id="ada", refused_at=ago(900), times=212, request_id="req-1", reason="<b>no")
    add_connection(
        "c", user_id="ada", email="ada@example.com", age_seconds=800, closed_at=ago(499.5), close_code=4001,
        closed_by="staff", cause="kicked", close_reason="be kind", request_id="req-2",
        client_address="192.0.2.7",
    )  # fmt: skip
    add_event("e", user_id="ada", at=ago(600), words="from ws://a to ws://b")
    kick = Kick(id="k", user_ids=["ada"], reason="be kind", created_at=ago(500))
    note_kick(kick, reason=kick.reason, by="vera", at=ago(1000))
    note(["ada"], NoteKind.BLOCKED, text="for good: spam", by="vera")
    note([""], NoteKind.REVOKED, text="issued before noon", by="root")
    note(["ada"], NoteKind.NOTE, text="called us", by="vera")
    for row, seconds in zip(StaffNote.objects.order_by("at"), (499, 400, 300, 200), strict=True):
        StaffNote.objects.filter(pk=row.pk).update(at=ago(seconds))
    add_connection("live", user_id="ada", age_seconds=100, client_address="192.0.2.8", messages_in=1000)
    # Of others.
    add_connection("d", user_id="ada2", closed=True, close_reason="another's")
    add_event("f", user_id="ada2", at=ago(1), words="another's")
    note(["ada2"], NoteKind.NOTE, text="another's", by="vera")


LINES = [
    "Connected to game from 192.0.2.8",
    "Note by vera called us Delete",
    "Tokens revoked by root, as everybody was issued before noon",
    "Blocked by vera for good: spam",
    "Kicked by vera be kind",
    "Disconnected: staff kicked it 4001 by staff on game, after 5m 00s; comes back: no be kind",
    "Carried over to another member from ws://a to ws://b",
    "Connected to game from 192.0.2.7",
    "Turned away: the token had expired, and 211 more within the minute 401 token_expired on game <b>no",
]


@pytest.mark.usefixtures("any_database", "story")
def test_a_story_is_told_from_its_end_in_ten_queries(
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    Block.objects.create(user_id="ada", reason="spam")
    client = staff(*ALL)
    with django_assert_max_num_queries(10):  # those of session, user and permissions included
        shown = page(client)
    assert told(shown) == LINES
    assert "another" not in shown.partition("Carried over")[0]
    assert "Live now: 1" in shown
    assert re.search(r"1000 \((9|10)\.\d/s\), 0 B", shown)
    assert "for good" in shown
    assert "/admin/proxy/refusal/r/change/" in shown
    assert "/admin/proxy/connection/c/change/" in shown


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("missing", "hidden"),
    [
        ("view_refusal", LINES[8:]),
        ("view_block", LINES[3:4]),
        ("view_revocation", LINES[2:3]),
        ("view_staffnote", LINES[1:2]),
    ],
)
def test_what_one_may_not_see_is_left_out(missing: str, hidden: list[str]) -> None:
    Block.objects.create(user_id="ada", network="192.0.2.0/24")
    shown = page(staff(*(set(ALL) - {missing})))
    assert told(shown) == [line for line in LINES if line not in hidden]
    assert ("Kept out" in shown) == (missing != "view_block")


def test_who_may_not_see_connections_sees_nobody() -> None:
    client = staff(*(set(ALL) - {"view_connection"}))
    assert client.get(ADA).status_code == 403
    assert client.get(FIND, {"q": "ada"}).status_code == 403
    assert client.post(ADA, {"text": "hello"}).status_code == 403


@pytest.mark.usefixtures("story")
def test_who_may_only_look_gets_no_buttons_and_may_press_none() -> None:
    client = staff("view_connection", "view_staffnote")
    shown = page(client)
    for words in ("Kick…", "Block…", "Revoke tokens…", "Add note", "delete_note"):
        assert words not in shown
    assert client.post(ADA, {"text": "hello"}).status_code == 403
    assert client.post(ADA, {"delete_note": StaffNote.objects.first().pk}).status_code == 403  # type: ignore[union-attr]


NAMES = [
    *("ada", " ada ", "   ", "a/b", "/", "a//b/", "100%", "%2F", "_2F", "_2E", ".", "..", "...", "a.b"),
    *("ä?#&;=+", "🙂" * 255, '"<script>', "change", "ada/change"),
]


def test_any_user_id_has_a_page_of_its_own(admin_client: Client) -> None:
    for number, user_id in enumerate(NAMES):
        add_connection(f"c{number}", user_id=user_id, closed=True)
    urls = {person_url(user_id): user_id for user_id in NAMES}
    assert len(urls) == len(NAMES)
    for number, (url, user_id) in enumerate(urls.items()):
        assert not {".", "..", "", "%2E"} & set(url[1:-1].split("/")), "no browser changes it"
        assert f"/admin/proxy/connection/c{number}/change/" in page(admin_client, url)
        found = admin_client.get(FIND, {"q": user_id})
        if user_id == " ada ":
            assert all(f'href="{each}"' in found.content.decode() for each in (url, ADA)), "either is meant"
        elif user_id.strip():  # else there is nothing to look for
            assert found.headers["Location"] == url


def test_what_no_user_id_can_be_has_no_page(admin_client: Client) -> None:
    answers = [admin_client.get(f"{FIND}{key}/").status_code for key in ("x" * 256, "_2E" * 256, "%00")]
    assert answers == [404, 404, 400]


def test_of_somebody_unknown_the_page_says_so_and_offers_a_block(admin_client: Client) -> None:
    shown = page(admin_client)
    assert "Nothing is known of this user." in shown
    assert "/admin/proxy/block/add/?user_id=ada&amp;next=%2Fadmin%2Fproxy%2Fperson%2Fada%2F" in shown


@pytest.mark.usefixtures("any_database")
def test_older_pages_follow_without_a_gap_also_of_one_moment(admin_client: Client) -> None:
    at = ago(1000)
    for number in range(PAGE_ENTRIES + 10):
        add_connection(f"c{number:03}", user_id="ada", closed_at=at)
        add_refusal(f"r{number:03}", user_id="ada", refused_at=at)
    seen, url = list[str](), ADA
    while url:
        shown = page(admin_client, url)
        seen += re.findall('<tr data-key="([^"]+)"', shown)
        older = re.search('<a href="([^"]+)">Older</a>', shown)
        url = unescape(older[1]) if older else ""
    assert len(seen) == len(set(seen)) == 3 * (PAGE_ENTRIES + 10)


def test_a_place_that_is_none_leads_to_the_newest(admin_client: Client) -> None:
    assert admin_client.get(ADA, {"before": "yesterday"}).headers["Location"] == ADA


def test_many_live_links_leave_room_for_those_that_ended() -> None:
    for number in range(MOST_LIVE + PAGE_ENTRIES + 10):
        add_connection(f"live{number}", user_id="ada", age_seconds=500)
    add_connection("c", user_id="ada", age_seconds=1000, closed_at=ago(1))
    told_of = story_of("ada", Sight())
    assert (len(told_of.live), told_of.has_more_live) == (MOST_LIVE, True)
    assert told_of.page.entries[0].place.id == "c"


def test_notes_are_written_kept_in_the_log_and_deleted(admin_client: Client) -> None:
    assert admin_client.post(ADA, {"text": "  called us  "}).status_code == 302
    (row,) = StaffNote.objects.all()
    assert (row.user_id, row.text, row.by, row.kind) == ("ada", "called us", "admin", "note")
    admin_client.post(f"{FIND}bob/", {"delete_note": row.pk})
    assert StaffNote.objects.exists(), "it is of another"
    admin_client.post(ADA, {"delete_note": row.pk})
    assert not StaffNote.objects.exists()
    changes = LogEntry.objects.order_by("action_time").values_list("object_id", "change_message")
    assert list(changes) == [("ada", "Note added: called us"), ("ada", "Note of admin deleted: called us")]


def test_a_note_says_something_and_has_a_bound(admin_client: Client) -> None:
    for text in ("", "   ", "x" * 2001):
        admin_client.post(ADA, {"text": text})
    assert not StaffNote.objects.exists()


def test_what_staff_did_by_hand_alone_is_deleted_by_hand(admin_client: Client) -> None:
    note(["ada"], NoteKind.KICKED, text="", by="vera")
    admin_client.post(ADA, {"delete_note": StaffNote.objects.get().pk})
    assert StaffNote.objects.exists()


def test_each_button_leads_back_here(admin_client: Client) -> None:
    add_connection("c", user_id="ada")
    shown = page(admin_client)
    assert f'name="next" value="{ADA}"' in shown
    here = "&amp;next=%2Fadmin%2Fproxy%2Fperson%2Fada%2F"
    for form in ("block", "revocation"):
        assert f'href="/admin/proxy/{form}/add/?user_id=ada{here}"' in shown


def test_a_block_is_told_from_its_beginning_to_its_end_and_leads_back(admin_client: Client) -> None:
    add = f"/admin/proxy/block/add/?user_id=ada&next={ADA}"
    saved = admin_client.post(add, {"user_id": "ada", "lasts": "good", "reason": "spam"})
    assert saved.headers["Location"] == ADA
    block = Block.objects.get()
    change, delete = (f"/admin/proxy/block/{block.pk}/{page}/?next={ADA}" for page in ("change", "delete"))
    assert delete.replace("&", "&amp;").replace(f"={ADA}", "=") in page(admin_client)
    assert admin_client.post(change, {"user_id": "ada", "lasts": "hour"}).headers["Location"] == ADA
    assert admin_client.post(delete, LIFTED).headers["Location"] == ADA
    lifted, changed, placed = told(page(admin_client))
    assert placed == "Blocked by admin for good: spam"
    assert re.fullmatch(r"Block changed by admin until \d{4}-\d\d-\d\d \d\d:\d\d UTC", changed)
    assert re.fullmatch(r"Block lifted by admin until .* UTC; lifted: a mistake", lifted)


def test_blocks_deleted_from_the_list_are_told_as_well(admin_client: Client) -> None:
    for values in ({"user_id": "ada"}, {"network": "192.0.2.0/24"}):
        Block.objects.create(**values)
    chosen = {"action": "delete_selected", "_selected_action": [str(row.pk) for row in Block.objects.all()]}
    admin_client.post("/admin/proxy/block/", chosen | LIFTED)
    assert told(page(admin_client)) == ["Block lifted by admin for good; lifted: a mistake"]


def test_a_revocation_leads_back_and_is_told_when_it_is_over(admin_client: Client) -> None:
    add = f"/admin/proxy/revocation/add/?user_id=ada&next={ADA}"
    assert admin_client.post(add, {"user_id": "ada", "reason": "lost phone"}).headers["Location"] == ADA
    revoke(jti="a token", by="vera")
    (line,) = told(page(admin_client))
    assert re.fullmatch(r"Tokens revoked by admin issued before .* UTC: lost phone", line)


@pytest.fixture
def people() -> None:
    add_connection(
        "c1", user_id="ada", email="ada@example.com", client_address="2001:db8:0:0:1::5", request_id="q1"
    )
    add_connection("c2", user_id="bob", email="ada@example.com", client_address="192.0.2.1", request_id="q2")
    add_connection("c3", client_address="2001:db8:0:1::5", request_id="q3")
    add_refusal(
        "r1", user_id="carol", email="carol@example.com", client_address="2001:db8::9", request_id="q4"
    )
    add_refusal("r2", client_address="192.0.2.9", request_id="q5")
    Block.objects.create(user_id="dave")


FOUND = {
    ADA: ("ada", " ada ", "c1", "q1"),
    f"{FIND}bob/": ("192.0.2.1",),
    f"{FIND}carol/": ("q4", "carol@example.com", "Carol@Example.com", "car"),
    f"{FIND}dave/": ("dave",),
    "/admin/proxy/connection/c3/change/": ("q3", "c3"),
    "/admin/proxy/refusal/r2/change/": ("q5",),
}


@pytest.mark.usefixtures("any_database", "people")
def test_one_person_or_record_is_gone_to(admin_client: Client) -> None:
    for url, terms in FOUND.items():
        for term in terms:
            assert admin_client.get(FIND, {"q": term}).headers["Location"] == url


@pytest.mark.usefixtures("people")
def test_several_are_listed_with_how_much_is_theirs(admin_client: Client) -> None:
    found = page(admin_client, FIND, q="ada@example.com")
    cells = r'person/(\w+)/">.*?"Connections">(\d+)</td><td data-label="Refusals">(\d+)</td>'
    assert re.findall(cells, found) == [("ada", "1", "0"), ("bob", "1", "0")]


@pytest.mark.usefixtures("any_database", "people")
def test_an_ipv6_address_stands_for_its_64(admin_client: Client) -> None:
    found = page(admin_client, FIND, q="2001:db8::77")
    assert re.findall(r'<a href="/admin/proxy/person/(\w+)/">', found) == ["ada", "carol"]


@pytest.mark.usefixtures("people")
def test_an_address_of_nobody_known_has_its_refusals(admin_client: Client) -> None:
    found = page(admin_client, FIND, q="192.0.2.9")
    assert "Nobody known came from 192.0.2.9." in found
    assert told(found) == ["Turned away: the token had expired 401 token_expired on game from 192.0.2.9"]


@pytest.mark.usefixtures("people")
def test_who_may_not_see_refusals_finds_nobody_by_them() -> None:
    client = staff("view_connection")
    for term in ("carol", "q4", "q5", "192.0.2.9"):
        found = page(client, FIND, q=term)
        assert "/person/carol/" not in found
        assert told(found) == []


def test_a_search_that_finds_nobody_says_so(admin_client: Client) -> None:
    for term in ("", "   ", "nobody", "x" * 3000, "%", "999.1.1.1", "_", "🙂", "a\u202eb"):
        assert ("Nobody was found by" in page(admin_client, FIND, q=term)) == bool(term.strip())


def test_a_connections_page_has_its_events(admin_client: Client) -> None:
    add_connection("c")
    for number in range(2):
        add_event(f"e{number}", user_id="", at=ago(9 - number), words=f"to member {number}")
    add_event("other", connection_id="d", user_id="", at=ago(1), words="to member 7")
    shown = page(admin_client, "/admin/proxy/connection/c/change/")
    assert re.findall(r"to member \d", shown) == ["to member 1", "to member 0"]


def test_pages_of_records_lead_to_the_person(admin_client: Client) -> None:
    add_connection("c", user_id="a/b")
    add_refusal("r", user_id="a/b")
    block = Block.objects.create(user_id="a/b")
    for row in ("connection/c", "refusal/r", f"block/{block.pk}"):
        assert '<a href="/admin/proxy/person/a_2Fb/">Person</a>' in page(
            admin_client, f"/admin/proxy/{row}/change/"
        )
    assert Refusal.objects.count() == 1


def test_lists_lead_to_the_search(admin_client: Client) -> None:
    for path in ("/admin/proxy/connection/", "/admin/proxy/refusal/", "/admin/"):
        assert f'href="{FIND}"' in page(admin_client, path)
