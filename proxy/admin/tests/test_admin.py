import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection as database
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from proxy.admin import kicking
from proxy.cluster import kicks
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import ALL_NODES
from proxy.models import Connection, Kick, Node
from proxy.registry import topic_kinds
from proxy.tests.rows import add_connection, add_node, connection

pytestmark = pytest.mark.usefixtures("any_database")
LIST = "/admin/proxy/connection/"


@pytest.fixture
def staff(client: Client) -> Client:
    """Logged in as somebody who may see the record and kick."""
    return log_in(client, "view_connection", "view_node", "kick_connection")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What went to links, by topic; that the nodes are told to look for the row is tested beside kicks."""
    messages: dict[str, dict[str, Any]] = {}

    async def send_to_topic(topic: str, message: dict[str, Any]) -> None:
        if topic != ALL_NODES:
            messages[topic] = message

    monkeypatch.setattr(kicks, "send_to_topic", send_to_topic)
    return messages


def log_in(client: Client, *codenames: str, name: str = "ada") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def listed(client: Client, query: str = "") -> list[str]:
    """The connection ids of the list page, in order."""
    page = client.get(f"{LIST}?{query}").content.decode()
    ids = re.findall(r'name="_selected_action" value="([^"]+)"', page)
    return ids or re.findall(r"/connection/([^/]+)/change/", page)


def test_live_connections_come_first_then_the_last_closed(staff: Client) -> None:
    add_connection("old live", age_seconds=900)
    add_connection("closed", closed=True)
    add_connection("new live", age_seconds=5)

    assert listed(staff) == ["new live", "old live", "closed"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("live=yes", ["a", "b"]),
        ("live=no", ["c"]),
        ("route=studio", ["b"]),
        ("topic=experience:wylding-woods", ["a"]),
        ("node=n2", ["b"]),
        ("node=box:7", ["a", "c"]),
        ("node=box:8", []),
        ("closed_by=client", ["c"]),
        ("q=42", ["a"]),
        ("q=4", ["a", "c"]),
        ("q=Ada%40", ["b"]),
        ("q=192.0.2.7", ["c"]),
        ("q=2001:DB8::1", ["b"]),
        ("q=b", ["b"]),
        ("q=/rooms/n", ["b"]),
        ("q=/rooms", ["b", "c"]),
        ("q=rooms", []),
        ("q=nobody", []),
    ],
)
def test_connections_are_found_by_filter_and_search(staff: Client, query: str, found: list[str]) -> None:
    add_node("n1")
    add_connection("a", user_id="42", topic="experience:wylding-woods", age_seconds=1)
    add_connection(
        "b",
        email="ada@example.com",
        route="studio",
        node_id="n2",
        client_address="2001:db8::1",
        path="/rooms/north",
    )
    add_connection("c", user_id="43", closed=True, client_address="192.0.2.7", path="/rooms/south")

    assert listed(staff, query) == found


def test_the_list_tells_a_link_from_others_of_its_route_by_path_and_topic(staff: Client) -> None:
    add_connection("a", route="rooms", path="/rooms/north", topic="team:red")
    add_connection("b", route="rooms", path="/rooms/south", topic="room:south")
    add_connection("c", route="studio", path="/websocket")
    add_connection("d", route="experience", path="/ws/experience", topic="experience:wylding-woods")
    page = staff.get(LIST).content.decode()

    for cell in re.findall(r'field-route_and_place">(.*?)</td>', page):
        told = re.findall(r"<bdi[^>]*>([^<]*)", cell)
        assert told in (
            ["rooms", "/rooms/north", "red"],
            ["rooms", "/rooms/south"],
            ["studio"],
            ["experience", "wylding-woods"],
        )
    assert "/websocket" in staff.get(f"{LIST}c/change/").content.decode()


def test_a_page_of_a_hundred_of_ten_thousand_rows_takes_a_handful_of_queries(staff: Client) -> None:
    add_node("n1")
    Connection.objects.bulk_create(
        connection(f"c{number}", age_seconds=number, closed=number > 200) for number in range(10_000)
    )
    with CaptureQueriesContext(database) as queries:
        page = staff.get(LIST).content.decode()

    assert page.count('name="_selected_action"') == 100
    assert "10,000 connections" in page
    assert len(queries) <= 12
    assert not [
        query for query in queries if re.search(r"COUNT\(\*\)[^)]*FROM \"proxy_connection\"$", query["sql"])
    ]


def test_a_list_that_is_too_long_is_counted_no_further_and_says_so(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.admin.pages.BoundedPaginator.MOST_ROWS", 3)
    for number in range(5):
        add_connection(f"c{number}")

    page = staff.get(LIST).content.decode()
    assert "Only the first 3 can be paged to" in page
    assert "3+ found" in page
    assert "3+ connections" in page


def test_a_record_without_its_nodes_row_is_shown_all_the_same(staff: Client) -> None:
    add_connection("a", node_id="0123456789abcdef")

    assert listed(staff) == ["a"]
    assert "01234567" in staff.get(f"{LIST}a/change/").content.decode()


def test_a_connection_is_shown_in_full_and_read_only(staff: Client) -> None:
    add_node("n1")
    add_connection("a", email="ada@example.com", bytes_in=5 << 20, user_agent="<script>", closed=True)
    page = staff.get(f"{LIST}a/change/").content.decode()

    for part in ("ada@example.com", "5.0 MB", "box:7", "&lt;script&gt;", "1000"):
        assert part in page
    assert "_save" not in page
    assert "Kick…" not in page


def test_a_connections_node_is_a_link_only_for_who_may_see_nodes(client: Client, staff: Client) -> None:
    add_node("n1")
    add_connection("a")
    link = '<a href="../../../node/n1/change/">box:7</a>'
    assert link in staff.get(f"{LIST}a/change/").content.decode()

    User.objects.all().delete()
    page = log_in(client, "view_connection").get(f"{LIST}a/change/").content.decode()
    assert "box:7" in page
    assert "/node/n1/" not in page


def test_a_nodes_links_lead_to_the_list_only_for_who_may_see_connections(
    client: Client, staff: Client
) -> None:
    add_node("n1")
    add_connection("a")
    pages = ("/admin/proxy/node/", "/admin/proxy/node/n1/change/")
    assert all("node=n1" in staff.get(page).content.decode() for page in pages)

    User.objects.all().delete()
    viewer = log_in(client, "view_node")
    assert not any("node=n1" in viewer.get(page).content.decode() for page in pages)


def test_an_id_cannot_pass_for_another_by_what_is_not_seen(staff: Client) -> None:
    add_connection("a", user_id="\u202e24", close_reason="\u202egnop", closed=True, client_address=None)

    for page in (LIST, f"{LIST}a/change/"):
        text = staff.get(page).content.decode()
        assert "⟨U+202E⟩24" in text
        assert "\u202e" not in text


def test_a_connection_tells_how_many_messages_a_rate_dropped(staff: Client) -> None:
    add_connection("a", messages_dropped=12_345)
    add_connection("b")

    assert "12,345 messages from client, over its rate" in staff.get(f"{LIST}a/change/").content.decode()
    assert "over its rate" not in staff.get(f"{LIST}b/change/").content.decode()


@pytest.mark.parametrize(
    ("closed_by", "code", "said"),
    [
        ("staff", 4001, "no"),
        ("gateway", 1011, "yes, with backoff"),
        ("gateway", 4010, "yes, with a fresh token"),
        ("upstream", 1011, "-"),  # the service's own word, whatever it means there
        ("client", 1001, "-"),
        ("node_lost", 1006, "-"),
    ],
)
def test_the_page_of_a_connection_says_whether_its_client_comes_back(
    staff: Client, closed_by: str, code: int, said: str
) -> None:
    add_node("n1")
    add_connection("a", closed=True, closed_by=closed_by, close_code=code)
    page = staff.get(f"{LIST}a/change/").content.decode()
    row = page[page.index("Client comes back") :]
    assert re.search(r'class="readonly">([^<]*)<', row)[1] == said  # type: ignore[index]


def test_nobody_adds_changes_or_deletes_records_not_even_a_superuser(admin_client: Client) -> None:
    add_node("n1")
    add_connection("a")

    for path in ("connection/add/", "connection/a/delete/", "node/add/", "node/n1/delete/"):
        assert admin_client.get(f"/admin/proxy/{path}").status_code == 403
    assert admin_client.post(f"{LIST}a/change/", {"route": "x"}).status_code == 403
    assert "delete_selected" not in admin_client.get(LIST).content.decode()


def test_a_kick_asks_for_confirmation_first(staff: Client, sent: dict[str, Any]) -> None:
    add_connection("a", user_id="42")
    add_connection("b", user_id="7")
    add_connection("c", closed=True)
    answer = staff.post(LIST, {"action": "kick_links", "_selected_action": ["a", "b", "c"]})
    page = answer.content.decode()

    assert "2 live connections" in page
    assert "1 of the selected is closed already" in page
    assert not sent


def test_a_confirmed_kick_is_sent_told_and_logged(staff: Client, sent: dict[str, Any]) -> None:
    add_connection("a", user_id="42")
    add_connection("b")
    form = {"action": "kick_links", "_selected_action": ["a"], "confirmed": "yes", "reason": " be  nice "}
    page = staff.post(LIST, form, follow=True).content.decode()

    assert "0 links ended." in page  # no node runs
    assert sent["connection:a"]["reason"] == "be nice"
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_id) == ("ada", "a")
    assert entry.change_message == "Kicked 1 connection: be nice (a)"


def test_the_list_that_follows_a_kick_shows_its_links_as_closed(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_connection("a")
    add_connection("came back", age_seconds=-60)

    def record_follows(_: float) -> None:
        Connection.objects.filter(pk="a").update(closed_at=Now())

    monkeypatch.setattr(kicking, "kick", lambda **_: kicks.Kicked(ended=1))
    monkeypatch.setattr("proxy.admin.kicking.time.sleep", record_follows)
    form = {"action": "kick_links", "_selected_action": "a", "confirmed": "yes"}
    page = staff.post(f"{LIST}?live=yes", form, follow=True).content.decode()
    assert "1 link ended." in page
    assert re.findall(r'name="_selected_action" value="([^"]+)"', page) == ["came back"]


def test_all_links_of_the_selected_users_are_kicked(staff: Client, sent: dict[str, Any]) -> None:
    add_connection("a", user_id="42")
    add_connection("b", user_id="42", closed=True)
    add_connection("c", user_id="")
    form = {"action": "kick_users", "_selected_action": ["b", "c"]}
    assert "1 live connection" in staff.post(LIST, form).content.decode()
    staff.post(LIST, {**form, "confirmed": "yes", "reason": ""})

    assert list(sent) == ["user:42"]


def test_everything_that_a_filter_finds_can_be_kicked(staff: Client, sent: dict[str, Any]) -> None:
    Connection.objects.bulk_create(connection(f"c{number}") for number in range(120))
    add_connection("other", route="studio")
    form = {"action": "kick_links", "_selected_action": ["c1"], "select_across": "1"}
    page = staff.post(f"{LIST}?route=game", form).content.decode()
    assert "120 live connections" in page
    assert "and 70 more" in page
    staff.post(f"{LIST}?route=game", {**form, "confirmed": "yes"})

    assert len(sent) == 120
    assert "connection:other" not in sent
    assert "found by route=game" in LogEntry.objects.get().change_message


def test_closed_connections_cannot_be_kicked(staff: Client, sent: dict[str, Any]) -> None:
    add_connection("a", closed=True)
    form = {"action": "kick_links", "_selected_action": ["a"], "confirmed": "yes"}
    page = staff.post(LIST, form, follow=True).content.decode()

    assert "nobody to kick" in page
    assert not sent


def test_a_reason_that_is_too_long_for_a_close_frame_is_refused(staff: Client, sent: dict[str, Any]) -> None:
    add_connection("a")
    form = {"action": "kick_links", "_selected_action": ["a"], "confirmed": "yes", "reason": "é" * 62}

    assert "That is 124 bytes, and 123 fit." in staff.post(LIST, form).content.decode()
    assert not sent


def test_a_kick_that_redis_does_not_take_is_written_down_for_the_nodes_to_find(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(topic: str, message: dict[str, Any]) -> None:
        raise LayerAway

    monkeypatch.setattr(kicks, "send_to_topic", away)
    add_connection("a")
    add_node("n1")
    monkeypatch.setattr(kicks, "REPORT_SECONDS", 0.1)
    form = {"action": "kick_links", "_selected_action": ["a"], "confirmed": "yes"}

    assert "No word yet from box:7" in staff.post(LIST, form, follow=True).content.decode()
    assert Kick.objects.get().connection_ids == ["a"]
    assert LogEntry.objects.count() == 1


def test_kicking_takes_a_permission_of_its_own(client: Client, sent: dict[str, Any]) -> None:
    add_connection("a")
    viewer = log_in(client, "view_connection")
    page = viewer.get(LIST).content.decode()
    viewer.post(LIST, {"action": "kick_links", "_selected_action": ["a"], "confirmed": "yes"})

    assert "kick_links" not in page
    assert "Kick…" not in viewer.get(f"{LIST}a/change/").content.decode()
    assert not sent


def test_seeing_takes_a_permission(client: Client) -> None:
    assert log_in(client).get(LIST).status_code == 403


def test_the_document_names_every_permission_that_does_something_and_no_other() -> None:
    document = (settings.BASE_DIR / "docs" / "admin.md").read_text()
    named = set(re.findall(r"`proxy\.(\w+)`", document))
    record = {f"{verb}_{name}" for verb in ("add", "change", "delete") for name in ("connection", "node")}
    rows = Permission.objects.filter(content_type__app_label="proxy").exclude(codename__endswith="report")
    # One for each kind of topic that routes declare, of which the document names the first.
    others = {f"publish_{kind.name}_by_token" for kind in topic_kinds()} - {"publish_user_by_token"}
    assert named == set(rows.values_list("codename", flat=True)) - record - others


def test_nodes_are_listed_with_their_state_and_live_links(staff: Client) -> None:
    add_node("n1")
    add_node("silent", silent_seconds=20)
    add_connection("a")
    add_connection("b")
    add_connection("c", closed=True)
    page = staff.get("/admin/proxy/node/").content.decode()

    assert "running" in page
    assert "silent" in page
    assert '?live=yes&amp;node=n1">2</a>' in page
    assert staff.get("/admin/proxy/node/n1/change/").status_code == 200


def test_nodes_that_have_stopped_are_listed_only_when_asked_for(staff: Client) -> None:
    add_node("n1")
    add_node("gone")
    Node.objects.filter(pk="gone").update(stopped_at=Now())

    def listed_nodes(query: str) -> set[str]:
        page = staff.get(f"/admin/proxy/node/{query}").content.decode()
        return set(re.findall(r"/admin/proxy/node/(\w+)/change/", page))

    assert listed_nodes("") == {"n1"}
    assert listed_nodes("?nodes=stopped") == {"gone"}
    assert listed_nodes("?nodes=all") == {"n1", "gone"}
    assert listed_nodes("?q=gone") == {"gone"}
    assert listed_nodes("?q=box:7") == {"n1", "gone"}
    assert listed_nodes("?q=box:7&nodes=stopped") == {"gone"}
    assert listed_nodes("?q=box:8") == set()
    assert listed_nodes("?q=n1&nodes=stopped") == set()
    assert staff.get("/admin/proxy/node/gone/change/").status_code == 200
