"""The Live page as it is rendered: read by who has no JavaScript, and what scripts patch."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from proxy.admin.live import ASKED_AGAIN
from proxy.core.figures import in_words
from proxy.core.samples import TIME_BOUNDS, Sample
from proxy.models import Connection, MemberReport, PoolMember, Refusal
from proxy.status import Seen, clock
from proxy.tests.plans import explained, reads_all_of
from proxy.tests.rows import add_connection, add_node, add_refusal, connection

LIVE = "/admin/proxy/live/"
MEMBERS = ["ws://one:9000", "ws://two:9000", "ws://three:9000"]


def shown(client: Client, **query: Any) -> str:
    answer = client.get(LIVE, query)
    assert answer.status_code == 200
    return answer.content.decode()


def verdict_of(page: str) -> str:
    part = page.partition('id="gateway-verdict"')[2].partition("</div>")[0]
    return " | ".join(re.findall(r"<(?:li|span[^>]*)>([^<]+)<", part))


def rows(page: str, name: str) -> list[str]:
    part = page.partition(f'data-rows="{name}"')[2].partition("</table>")[0]
    return [key for key in re.findall(r'data-key="([^"]+)"', part) if key != "none"]


def add_report(url: str, state: str, **values: Any) -> MemberReport:
    told = {"node_id": "n1", "pool": "studio", "breaker": "closed", "updated_at": timezone.now(), **values}
    return MemberReport.objects.create(url=url, state=state, **told)


@pytest.mark.django_db
def test_it_is_the_first_of_the_navigation_and_the_index_leads_there(admin_client: Client) -> None:
    index = admin_client.get("/admin/").content.decode()
    assert index.index('class="gateway-first"') < index.index('id="content-related"')
    apps = admin_client.get(LIVE).context["available_apps"]
    assert (apps[0]["app_label"], apps[0]["models"][0]["admin_url"]) == ("proxy", LIVE)


@pytest.mark.django_db
def test_a_gateway_without_trouble_is_healthy(admin_client: Client) -> None:
    add_node("n1")
    page = shown(admin_client)
    assert verdict_of(page) == "Healthy"
    assert "gateway-verdict-well" in page


@pytest.mark.django_db
def test_the_worst_comes_first_in_words(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    add_node("n1")
    lost = add_node("n2", silent_seconds=60)
    monkeypatch.setattr("proxy.status.look", lambda: Seen(redis_is_away=True))
    for _ in range(2):
        add_refusal(f"r{_}", times=6)
    add_refusal("old", refused_at=timezone.now() - timedelta(minutes=6))
    page = shown(admin_client)
    assert verdict_of(page) == (
        f"Redis is away | node box:7 is gone since {clock(lost.heartbeat_at)}"
        " | 12 refused in 5 min: the token had expired"
    )
    assert "gateway-verdict-bad" in page


@pytest.mark.django_db
def test_a_pool_says_how_many_are_down_and_since_when(admin_client: Client) -> None:
    add_node("n1")
    PoolMember.objects.bulk_create(PoolMember(pool="studio", url=url) for url in MEMBERS)
    since = timezone.now() - timedelta(minutes=2)
    for url in MEMBERS[1:]:
        add_report(url, "available", since=since - timedelta(hours=1))
    report = add_report(MEMBERS[0], "unhealthy", since=since)
    page = shown(admin_client)
    assert verdict_of(page) == f"studio: 1 of 3 members down since {clock(since)}"
    assert "gateway-verdict-look" in page
    assert "unhealthy</span> for 2m 0" in page
    MemberReport.objects.exclude(pk=report.pk).update(state="broken", since=None)
    page = shown(admin_client)
    assert verdict_of(page) == f"studio: all 3 members down since {clock(since)}"
    assert "gateway-verdict-bad" in page


@pytest.mark.django_db
def test_who_stopped_in_order_is_no_trouble_and_who_was_lost_is_for_a_while(admin_client: Client) -> None:
    now = timezone.now()
    add_node("n1")
    add_node("stopped", stopped_at=now)
    add_node("long lost", silent_seconds=3600, stopped_at=now - timedelta(minutes=59))
    assert verdict_of(shown(admin_client)) == "Healthy"
    add_node("lost", silent_seconds=120, stopped_at=now - timedelta(seconds=100))
    assert "is gone since" in verdict_of(shown(admin_client))


@pytest.mark.django_db
def test_the_tables_have_the_newest_twenty_and_a_range_filters_them(admin_client: Client) -> None:
    add_node("n1")
    for number in range(25):
        add_connection(f"on{number:02}", age_seconds=60 * number)
        closed_at = timezone.now() - timedelta(minutes=number)
        add_connection(f"left{number:02}", age_seconds=7200, closed=True, closed_at=closed_at, cause="idle")
        add_refusal(f"away{number:02}", refused_at=closed_at)
    page = shown(admin_client)
    for name, prefix in (("on-now", "on"), ("just-left", "left"), ("turned-away", "away")):
        assert rows(page, name) == [f"{prefix}{number:02}" for number in range(20)]
    assert "nothing crossed it for too long" in page

    now = timezone.now().timestamp()
    page = shown(admin_client, since=int(now - 14.5 * 60), until=int(now - 10.5 * 60))
    for name, prefix in (("on-now", "on"), ("just-left", "left"), ("turned-away", "away")):
        assert rows(page, name) == [f"{prefix}{number:02}" for number in range(11, 15)]


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["since=now", "since=", f"since={10**30}"])
def test_a_range_that_is_none_is_a_400(admin_client: Client, query: str) -> None:
    assert admin_client.get(f"{LIVE}?{query}").status_code == 400


@pytest.mark.django_db
def test_each_part_has_a_permission(client: Client) -> None:
    add_node("n1")
    add_connection("c1", user_id="ada", email="ada@example.com")
    add_refusal("r1", user_id="bob")
    viewer = User.objects.create_user("viewer", password="v", is_staff=True)
    client.force_login(viewer)
    assert client.get(LIVE).status_code == 403
    assert "gateway-first" not in client.get("/admin/").content.decode()
    seen = {
        "view_connection": "ada",
        "view_refusal": "bob",
        "view_node": 'id="gateway-node-cards"',
        "view_poolmember": 'id="gateway-member-cards"',
    }
    page = ""
    for codename, part in seen.items():
        assert part not in page
        given = Permission.objects.get(codename=codename, content_type__app_label="proxy")
        viewer.user_permissions.add(given)
        page = shown(client)
        assert part in page
    client.logout()
    assert client.get(LIVE).status_code == 302


@pytest.mark.usefixtures("any_database")
def test_ten_queries_whatever_there_is_each_of_the_rows_by_an_index(admin_client: Client) -> None:
    add_node("n1")
    Connection.objects.bulk_create(
        connection(f"c{number}", age_seconds=number, closed=number > 50) for number in range(2_000)
    )
    now = timezone.now()
    Refusal.objects.bulk_create(
        Refusal(id=f"r{number}", node_id="n1", refused_at=now - timedelta(minutes=number), cause="blocked")
        for number in range(2_000)
    )
    with database.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(database) as queries:
        shown(admin_client, since=0, until=2**31)
    assert len(queries) <= 10
    for table in ("connection", "refusal"):
        asked = [each["sql"] for each in queries if f'FROM "proxy_{table}"' in each["sql"]]
        assert asked
        for sql in asked:
            plan = explained(sql)
            assert not reads_all_of(f"proxy_{table}", plan), (sql, plan)
            assert "index" in plan.lower(), (sql, plan)


def test_a_second_is_told_in_the_words_of_the_page() -> None:
    second = Sample(
        at=0, seconds=2, opens={"studio": 3}, refusals={"blocked": 1}, messages_in=20, messages_out=2400,
        bytes_in=2048, bytes_out=30 << 20, loop_lag_seconds=0.0004, resident_bytes=80 << 20,
        deliveries=tuple(int(bound == 0.01) for bound in (*TIME_BOUNDS, None)),
    )  # fmt: skip
    assert in_words(second) == {
        "opens": "1.5/s",
        "closes": "0/s",
        "refusals": "0.50/s",
        "messages": "10/s in, 1,200/s out",
        "bytes": "1.0 KB/s in, 15 MB/s out",
        "dial": "-",
        "delivery": "10.0 ms",
        "lag": "0.4 ms",
        "memory": "80 MB",
    }


@pytest.mark.django_db
def test_what_scripts_ask_for_again_has_nothing_around_it_and_nothing_of_one_person(
    admin_client: Client, client: Client
) -> None:
    add_connection("c1")
    client.force_login(User.objects.create_superuser("bob", password="b"))

    def asked(who: Client) -> str:
        return who.get(LIVE, headers={ASKED_AGAIN: "1"}).content.decode()

    assert rows(asked(admin_client), "on-now") == ["c1"]
    assert "nav-sidebar" not in asked(admin_client)
    ages = re.compile(r">[^<]*\b\d+s\b[^<]*<|(?<=before=\")[^\"]*")
    assert ages.sub("", asked(client)) == ages.sub("", asked(admin_client))
    assert "csrfmiddlewaretoken" not in asked(client)
    client.logout()
    assert client.get(LIVE, headers={ASKED_AGAIN: "1"}).status_code == 302
