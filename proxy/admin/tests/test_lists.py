"""What every list of admin is called, and which filters it has."""

import re

import pytest
from django.contrib import admin
from django.db import connection as database
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings

from proxy.models import Connection, Node, Person
from proxy.tests.plans import explained, reads_all_of
from proxy.tests.rows import add_connection, add_node, connection

pytestmark = pytest.mark.usefixtures("any_database")
LIST = "/admin/proxy/connection/"


def test_a_node_by_its_name_is_looked_up_once(admin_client: Client) -> None:
    add_node("n1")
    add_connection("a")
    with CaptureQueriesContext(database) as asked:
        assert "1 connection" in admin_client.get(f"{LIST}?node=box:7").content.decode()
    assert sum('"pid" = ' in query["sql"] for query in asked) == 1
    assert len(asked) <= 11


def test_a_filter_offers_the_nodes_that_run_and_the_one_that_is_asked_for(
    admin_client: Client,
) -> None:
    for name in ("runs", "gone", "asked"):
        add_node(name)
    Node.objects.exclude(pk="runs").update(stopped_at=Now())
    page = admin_client.get(f"{LIST}?node=asked").content.decode()
    offered = page.partition('id="gateway-filters"')[2]
    assert set(re.findall(r"node=(\w+)", offered)) == {"runs", "asked"}


def test_a_filter_offers_the_topics_of_most_links_before_those_of_one_session_each(
    admin_client: Client,
) -> None:
    for number in range(60):
        add_connection(f"s{number}", topic=f"session:s{number}")
    for number in range(2):
        add_connection(f"w{number}", topic="world:north")
    offered = admin_client.get(LIST).content.decode().partition('id="gateway-filters"')[2]
    topics = re.findall(r"topic=([\w%]+)", offered)
    assert "world%3Anorth" in topics
    assert len(topics) == 50


def test_a_list_is_called_by_what_it_lists(admin_client: Client) -> None:
    for name in ("connection", "node", "block"):
        assert f"<h1>{name.capitalize()}s</h1>" in admin_client.get(f"/admin/proxy/{name}/").content.decode()


def test_every_list_says_how_old_it_is_and_keeps_itself_current(admin_client: Client) -> None:
    """But the search for people, which shows what was found when it was asked for."""
    lists = [each._meta for each in admin.site._registry if each is not Person]
    for each in lists:
        page = admin_client.get(f"/admin/{each.app_label}/{each.model_name}/").content.decode()
        assert 'id="gateway-freshness"' in page, each
        assert "proxy/live.js" in page, each


@pytest.mark.parametrize("debug", [False, True])
def test_a_filter_that_no_list_has_is_a_400_of_the_gateways_own(admin_client: Client, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        answer = admin_client.get(f"{LIST}?email__regex=(")
    assert answer.status_code == 400
    assert b"an unknown filter" in answer.content


@pytest.mark.parametrize("page", [LIST, "/admin/proxy/live/"])
def test_live_links_are_counted_no_further_than_a_list_is_paged(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr("proxy.tables.counting.MOST_COUNTED", 2)
    for number in range(2):
        add_connection(f"c{number}", user_id=f"u{number}")
    assert "2+" not in admin_client.get(page).content.decode()
    add_connection("c2", user_id="u2")
    assert admin_client.get(page).content.decode().count("2+") == 2


FEW = ("route=gone", "topic=gone", "cause=kicked", "closed_by=staff", "user=gone")


@pytest.mark.parametrize("asked", FEW)
def test_a_filter_finds_few_of_many_by_an_index(admin_client: Client, asked: str) -> None:
    few = {"route": "gone", "topic": "gone", "cause": "kicked", "closed_by": "staff", "user_id": "gone"}
    Connection.objects.bulk_create(
        connection(f"c{number}", closed=number > 50, user_id=f"u{number}") for number in range(4_000)
    )
    add_connection("few", closed=True, **few)
    with database.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(database) as queries:
        page = admin_client.get(f"{LIST}?{asked}").content.decode()
    assert page.count('name="_selected_action"') == 1
    name = asked.partition("=")[0].replace("user", "user_id").replace("topic", "experience")
    sought = [each["sql"] for each in queries if f'"proxy_connection"."{name}" = ' in each["sql"]]
    assert len(sought) == 2  # counted, and shown
    for sql in sought:
        assert not reads_all_of("proxy_connection", explained(sql)), (sql, explained(sql))


def test_those_that_live_can_be_sorted_and_all_there_ever_were_cannot(admin_client: Client) -> None:
    """In the list's own order the last that came is the first."""
    for number, moved in enumerate((5, 9, 1)):
        add_connection(f"c{number}", age_seconds=number, bytes_in=moved)
    add_connection("past", closed=True, bytes_in=7)
    assert shown_of(admin_client, {"o": "-5"}) == ["c0", "c1", "c2", "past"]
    assert shown_of(admin_client, {"o": "-5", "live": "no"}) == ["past"]
    assert shown_of(admin_client, {"o": "-5", "live": "yes"}) == ["c1", "c0", "c2"]
    assert shown_of(admin_client, {"o": "5", "live": "yes"}) == ["c2", "c0", "c1"]
    for query, heads in (({}, 0), ({"live": "no"}, 0), ({"live": "yes"}, 3)):
        assert admin_client.get(LIST, query).content.decode().count('"sortable column-') == heads


def shown_of(client: Client, query: dict[str, str]) -> list[str]:
    """The ids of the rows, from the top."""
    page = client.get(LIST, query).content.decode()
    return re.findall(r'name="_selected_action" value="([^"]+)"', page)
