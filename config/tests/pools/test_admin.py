"""The pools page and blocks in admin."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.test import Client

import config.routing  # noqa: F401  the pools of the product are registered there
from config.dev.banner import banner
from config.testing.gateway import Gateway
from experience.studio.routes import POOL, STUDIO
from proxy import registry
from proxy.cluster.rules import load_rules
from proxy.core.routes import Route, Upstream
from proxy.engine.pools.members import ERROR_SHOWN_SECONDS
from proxy.engine.pools.pool import Pool
from proxy.models import Block, MemberReport, Node, PoolMember
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.member_rows import MemberReporter
from proxy.tables.pools_overview import MemberView, pool_views, replaced_members, set_draining

pytestmark = [pytest.mark.django_db, pytest.mark.long]
PAGE = "/admin/proxy/poolmember/"
CONFIRMED = {"confirmed": "yes", "reason": "it is to be replaced"}
A, B = "ws://studio-a:8002/", "ws://studio-b:8002/"


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rows() -> None:
    node = Node.objects.create(id="n" * 32, host="h", pid=1, started_at=Now(), heartbeat_at=Now())
    for url, state, links in ((A, "available", 7), (B, "unhealthy", 2)):
        PoolMember.objects.create(pool="studio", url=url)
        MemberReport.objects.create(
            node=node, pool="studio", url=url, state=state, breaker="closed", links=links,
            last_error="probe: <refused>", updated_at=Now(),
        )  # fmt: skip


def test_the_page_shows_each_members_state_links_and_last_error(rows: None) -> None:
    page = staff("view_poolmember").get(PAGE).content.decode()
    assert A in page
    assert "unhealthy" in page
    assert "probe: &lt;refused&gt;" in page
    assert "<button" not in page.partition('id="result_list"')[2]
    assert "<th>Do</th>" not in page


def test_what_can_be_done_to_a_member_stands_before_what_may_be_long(rows: None) -> None:
    page = staff("view_poolmember", "drain_poolmember").get(PAGE).content.decode()
    assert re.findall("<th>(Do|State|By node|Last error)</th>", page)[:4] == [
        "State", "Do", "By node", "Last error",
    ]  # fmt: skip
    assert 'title="probe: &lt;refused&gt;"' in page


def test_a_node_is_named_as_drain_takes_it(rows: None) -> None:
    page = staff("view_poolmember").get(PAGE).content.decode()
    assert re.search(r">h:1: 7, \d+s ago", page)
    assert "nnnnnn" not in page


def test_a_drain_needs_its_permission_and_is_kept_for_every_node(rows: None) -> None:
    words = {"action": "drain", "pool": "studio", "url": A}
    viewer = staff("view_poolmember")
    assert viewer.post(PAGE, words).status_code == 403
    User.objects.all().delete()
    drainer = staff("view_poolmember", "drain_poolmember")
    assert "<th>Do</th>" in drainer.get(PAGE).content.decode()
    assert drainer.post(PAGE, words | CONFIRMED).status_code == 302
    specs = {spec.url: spec for spec in (load_rules().members or {})["studio"]}
    assert specs[A].draining
    assert not specs[B].draining
    drainer.post(PAGE, words | CONFIRMED | {"action": "move"})
    assert PoolMember.objects.get(url=A).move_seconds == 30
    back = words | {"action": "undrain"}
    assert "gets new links again" in drainer.post(PAGE, back).content.decode()
    assert PoolMember.objects.get(url=A).draining
    drainer.post(PAGE, back | CONFIRMED)
    assert not PoolMember.objects.get(url=A).draining


def test_what_a_drain_will_do_is_said_first_with_figures_and_asks_for_a_reason(rows: None) -> None:
    drainer = staff("view_poolmember", "drain_poolmember")
    words = {"action": "drain", "pool": "studio", "url": B}

    def asked(**more: str) -> str:
        answer = drainer.post(PAGE, words | more)
        assert answer.status_code == 200
        return " ".join(re.sub("<[^>]+>", "", answer.content.decode()).split())

    assert "It has 2 links, which end by themselves. 1 other member of the pool takes new links." in asked()
    words |= {"url": A, "action": "move"}
    assert "It has 7 links, which are closed with 1001, spread over 30 seconds." in asked()
    assert "No other member of the pool takes new links: newcomers will get 503." in asked()
    assert "This field is required." in asked(confirmed="yes")
    assert not PoolMember.objects.filter(draining=True).exists()

    drainer.post(PAGE, words | CONFIRMED)
    (entry,) = LogEntry.objects.all()
    assert "it is to be replaced" in entry.change_message


def test_the_form_of_a_member_drains_for_nobody_since_it_does_not_ask(rows: None) -> None:
    row = PoolMember.objects.get(url=A)
    drains = {"pool": "studio", "url": A, "weight": 3, "draining": "on", "move_seconds": 1}
    changer = staff("view_poolmember", "change_poolmember", "add_poolmember", "drain_poolmember")
    page = f"{PAGE}{row.pk}/change/"
    assert changer.post(page, drains).status_code == 302
    assert changer.post(PAGE + "add/", drains | {"url": "ws://studio-c:1/"}).status_code == 302
    states = PoolMember.objects.values_list("url", "weight", "draining", "move_seconds")
    assert set(states) == {(A, 3, False, None), (B, 1, False, None), ("ws://studio-c:1/", 3, False, None)}

    set_draining("studio", A, draining=True)
    assert changer.post(page, {"pool": "studio", "url": A, "weight": 4}).status_code == 302
    row.refresh_from_db()
    assert (row.weight, row.draining) == (4, True), "nor brings it back"


def test_what_was_done_is_told_with_the_url_as_it_is_written(rows: None) -> None:
    drainer = staff("view_poolmember", "drain_poolmember")
    for action in ("drain", "move", "undrain"):
        words = {"action": action, "pool": "studio", "url": A, **CONFIRMED}
        page = drainer.post(PAGE, words, follow=True).content.decode()
        told = page.partition('<ul class="messagelist">')[2].partition("</ul>")[0]
        assert A in told


def test_the_page_tells_what_is_asked_of_nodes_apart_from_what_they_say_and_how_old_that_is(
    rows: None,
) -> None:
    reports = MemberReport.objects.filter(url=A)

    def shown() -> str:
        studio = next(pool for pool in pool_views() if pool.name == "studio")
        return next(member.state for member in studio.members if member.url == A)

    set_draining("studio", A, draining=True)
    assert shown() == "told to drain"
    reports.update(state="draining", updated_at=Now() - timedelta(seconds=7))
    assert shown() == "draining"
    page = staff("view_poolmember").get(PAGE).content.decode()
    assert re.search("draining, ([7-9]|[1-5][0-9])s ago", page)
    set_draining("studio", A, draining=False)
    assert shown() == "told to come back"
    reports.update(state="available")
    assert shown() == "available"


@pytest.mark.parametrize("state", ["failing", "not tried yet"])
def test_a_member_that_never_answered_is_not_shown_as_one_that_does(rows: None, state: str) -> None:
    MemberReport.objects.filter(url=A).update(state=state)
    page = staff("view_poolmember").get(PAGE).content.decode()
    assert re.search(f'class="gateway-(down|late)">{state}<', page)
    assert "gateway-live" not in page


def test_what_a_node_sees_counts_before_what_another_has_not_tried() -> None:
    reports = [MemberReport(url=A, state=state) for state in ("not tried yet", "available")]
    assert MemberView(A, reports=reports).state == "available"


def test_a_member_is_available_once_it_has_answered() -> None:
    def never(*_: object) -> float:
        return 0.0

    pool = Pool(replace(POOL, members=(A,)), clock=never, random=never)
    reporter = MemberReporter(DatabaseExecutor(), node_id="n", pools=[pool])
    (member,) = pool.all_members()
    assert [row.state for row in reporter.rows()] == ["not tried yet"]
    member.probed(ok=False, why="refused")
    assert [row.state for row in reporter.rows()] == ["failing"]
    member.probed(ok=True)
    assert [row.state for row in reporter.rows()] == ["available"]


def test_an_error_is_shown_until_the_member_has_been_well_for_a_while() -> None:
    now = 0.0
    pool = Pool(replace(POOL, members=(A,)), clock=lambda: now, random=lambda: 0.0)
    reporter = MemberReporter(DatabaseExecutor(), node_id="n", pools=[pool])
    (member,) = pool.all_members()
    member.probed(ok=False, why="refused")
    now += 2 * ERROR_SHOWN_SECONDS
    assert [row.last_error for row in reporter.rows()] == ["refused"], "it has never been well"
    member.probed(ok=True)
    member.probed(ok=False, why="late")
    member.probed(ok=True)
    now += ERROR_SHOWN_SECONDS - 1
    assert [row.last_error for row in reporter.rows()] == ["late"]
    now += 2
    assert [row.last_error for row in reporter.rows()] == [""]


def test_a_member_of_no_row_but_with_links_is_shown_as_removed(rows: None) -> None:
    PoolMember.objects.filter(url=A).delete()
    studio = next(pool for pool in pool_views() if pool.name == "studio")
    assert [(member.url, member.removed) for member in studio.members] == [(B, False), (A, True)]


def test_members_are_checked_and_normalised_when_they_are_added(admin_client: Client) -> None:
    wrong = {"pool": "studio", "url": "studio-c", "weight": 1}
    assert b"a service URL is like" in admin_client.post(PAGE + "add/", wrong).content
    nobodys = wrong | {"url": "ws://studio-c:1/{shop}"}
    assert (
        b"no path that leads to this pool captures {shop}"
        in admin_client.post(PAGE + "add/", nobodys).content
    )
    assert admin_client.post(PAGE + "add/", wrong | {"url": "http://studio-c:1"}).status_code == 302
    assert PoolMember.objects.get().url == "ws://studio-c:1/"


def own_pool(monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    """A pool `rooms` of a route that captures a name, and nothing else."""
    route = Route(name="rooms", paths=("rooms/<str:room>",), upstream=upstream)
    monkeypatch.setattr(registry, "routes", lambda: (route,))


def test_a_bare_origin_gets_the_path_that_the_members_from_settings_have(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_pool(monkeypatch, Upstream.of("rooms", "http://a:1", path="/rooms/{room}", editable=True))
    page = admin_client.get(PAGE + "add/").content.decode()
    assert "What does not end with /rooms/{room} gets that behind it (rooms)." in page
    assert "studio" not in page
    form = {"pool": "rooms", "weight": 1}
    for url in ("http://b:1", "ws://c:1/rooms/{room}", "ws://d:1/v2/"):
        assert admin_client.post(PAGE + "add/", form | {"url": url}).status_code == 302
    assert set(PoolMember.objects.values_list("url", flat=True)) == {
        "ws://a:1/rooms/{room}", "ws://b:1/rooms/{room}", "ws://c:1/rooms/{room}", "ws://d:1/v2/rooms/{room}",
    }  # fmt: skip
    again = admin_client.post(PAGE + "add/", form | {"url": "ws://b:1"})
    assert b"already exists" in again.content
    too_long = admin_client.post(PAGE + "add/", form | {"url": f"ws://b:1/{'v' * 240}"})
    assert b"at most 255 characters" in too_long.content


def test_a_member_that_leaves_out_what_those_from_settings_name_is_refused(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_pool(monkeypatch, Upstream.of("rooms", "ws://a:1/rooms/{room}", "ws://b:1/r/{room}", editable=True))
    form = {"pool": "rooms", "weight": 1, "url": "ws://c:1"}
    said = admin_client.post(PAGE + "add/", form).content.decode()
    assert "its path lacks {room}, as the members from settings have it: ws://a:1/rooms/{room}" in said
    assert admin_client.post(PAGE + "add/", form | {"url": "ws://c:1/{room}"}).status_code == 302


def test_a_block_names_who_made_it_and_what_it_means(admin_client: Client) -> None:
    add = "/admin/proxy/block/add/"
    assert b"Name a user" in admin_client.post(add, {}).content
    assert b"no address" in admin_client.post(add, {"network": "nowhere"}).content
    assert admin_client.post(add, {"network": "192.0.2.9/24", "reason": "spam"}).status_code == 302
    block = Block.objects.get()
    assert block.network == "192.0.2.0/24"
    assert block.created_by is not None
    assert b"192.0.2.0/24" in admin_client.get("/admin/proxy/block/").content
    assert load_rules().blocks == {("", "192.0.2.0/24", None)}


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings declare A and B as the studio's members, of seven links each."""
    route = replace(STUDIO, upstream=replace(POOL, members=(A, B), max_connections=7))
    monkeypatch.setattr(registry, "routes", lambda: (route,))


def test_a_member_that_settings_declare_is_taken_over_with_what_staff_say(
    admin_client: Client, declared: None
) -> None:
    form = {"pool": "studio", "url": A, "weight": 5}

    assert admin_client.post(PAGE + "add/", form).status_code == 302
    assert set(PoolMember.objects.values_list("url", "weight")) == {(A, 5), (B, 1)}
    assert b"already exists" in admin_client.post(PAGE + "add/", form).content


def test_a_member_that_staff_add_stands_beside_those_that_settings_declare(
    admin_client: Client, declared: None
) -> None:
    form = {"pool": "studio", "url": "ws://studio-c:8002/", "weight": 5, "max_connections": 9}

    assert admin_client.post(PAGE + "add/", form).status_code == 302
    rows = PoolMember.objects.values_list("url", "weight", "max_connections")
    assert set(rows) == {(A, 1, 7), (B, 1, 7), ("ws://studio-c:8002/", 5, 9)}


def test_a_drain_of_a_member_that_settings_declare_leaves_the_others_as_they_are(declared: None) -> None:
    PoolMember.objects.create(pool="another", url=A)
    set_draining("studio", A, draining=True)
    members = (load_rules().members or {})["studio"]
    assert {(spec.url, spec.max_connections, spec.draining) for spec in members} == {
        (A, 7, True), (B, 7, False),
    }  # fmt: skip


def test_a_declared_member_that_staff_removed_does_not_come_back_with_what_they_do_to_another(
    admin_client: Client, declared: None
) -> None:
    set_draining("studio", A, draining=True, move_seconds=30)
    PoolMember.objects.get(url=B).delete()
    set_draining("studio", A, draining=False, move_seconds=30)
    form = {"pool": "studio", "url": "ws://studio-c:8002/", "weight": 1}
    assert admin_client.post(PAGE + "add/", form).status_code == 302
    rows = PoolMember.objects.values_list("url", "draining", "move_seconds")
    assert set(rows) == {(A, False, None), ("ws://studio-c:8002/", False, None)}


def test_rows_that_replace_what_settings_declare_are_told_apart_from_rows_that_are_the_same(
    declared: None, db: None
) -> None:
    assert replaced_members() == {}
    PoolMember.objects.create(pool="studio", url=A)
    assert replaced_members() == {"studio": [A]}
    PoolMember.objects.create(pool="studio", url=B)
    assert replaced_members() == {}


def test_a_start_warns_of_members_in_settings_that_rows_replace(tmp_path: Path) -> None:
    gateway = Gateway("serve", tmp_path, {"STUDIO_WS_URLS": A})
    gateway.migrate()
    add = f"from proxy.models import PoolMember; PoolMember.objects.create(pool='studio', url='{B}')"
    gateway.manage("shell", "-c", add)
    gateway.start()
    try:
        said = gateway.program.wait_for_output(r".*members in settings are not in force.*").group(0)
        line = json.loads(said)
        assert (line["level"], line["declared"], line["in_force"]) == ("warning", [A], [B])
    finally:
        gateway.close()


def test_the_banner_tells_what_of_the_settings_is_not_in_force() -> None:
    def told(replaced: dict[str, list[str]]) -> str:
        return banner(port=8666, told="", login=None, python="python", replaced=replaced)

    assert "Not in force" not in told({})
    assert "Not in force the members of studio in settings: rows" in told({"studio": [B]})
    assert B in told({"studio": [B]})


def test_a_pool_that_staff_may_not_change_says_why_it_has_no_buttons(admin_client: Client) -> None:
    page = admin_client.get(PAGE).content.decode()
    kb, studio = (
        page.partition(f"<strong>{name}</strong>")[2].partition("</th>")[0] for name in ("kb", "studio")
    )
    assert "is not <code>editable</code> by staff" in kb
    assert "editable" not in studio


def test_who_may_only_look_at_a_member_is_told_of_no_other(rows: None) -> None:
    row = PoolMember.objects.get(url=A)
    page = staff("view_poolmember").get(f"{PAGE}{row.pk}/change/").content.decode()
    assert A in page
    assert "Such as" not in page


def test_a_pool_is_chosen_among_those_that_staff_may_change(admin_client: Client) -> None:
    assert b'<option value="studio">' in admin_client.get(PAGE + "add/").content
    for pool in ("kb", "studoi", ""):
        assert b"This field is required" in admin_client.post(PAGE + "add/", {"pool": "", "url": A}).content
        assert admin_client.post(PAGE + "add/", {"pool": pool, "url": A, "weight": 1}).status_code == 200
    assert not PoolMember.objects.exists()


def test_a_member_stays_in_its_pool(admin_client: Client, rows: None) -> None:
    row = PoolMember.objects.get(url=A)
    form = {"pool": "kb", "url": A, "weight": 7}

    assert admin_client.post(f"{PAGE}{row.pk}/change/", form).status_code == 302
    row.refresh_from_db()
    assert (row.pool, row.weight) == ("studio", 7)


def test_a_drain_of_a_pool_that_staff_may_not_change_writes_nothing(admin_client: Client) -> None:
    kb = next(upstream for upstream in registry.upstreams() if upstream.name == "kb")
    words = {"action": "drain", "pool": kb.name, "url": kb.members[0]}
    page = admin_client.post(PAGE, words, follow=True)

    assert b"no such member" in page.content
    assert not PoolMember.objects.exists()
