"""GET /api/connections: who is found, in which order, and by whom."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from django.db import connection as database
from django.db.models import CharField, Func

from config.testing.servers import PostgresServer
from proxy.models import Connection
from proxy.rest.connections import FILTERS, Connections
from proxy.rest.tests.calling import get, key
from proxy.tables.executor import bound_waits
from proxy.tests.rows import add_connection, add_node, connection

PATH = "/api/connections"


@pytest.fixture
def mine() -> str:
    return key(list_connections=True)


@pytest.fixture
def links(any_database: None) -> None:
    add_node("n1")
    add_connection("a", age_seconds=900, user_id="ada", topic="experience:old-mill", messages_in=3)
    add_connection("b", age_seconds=20, user_id="bob", node_id="n2", route="studio")
    add_connection("c", age_seconds=5, user_id="ada", client_address="192.0.2.7")
    add_connection("d", closed=True, user_id="ada", close_reason="bye")


def cursor_at(place: str) -> str:
    """One that a caller has made up."""
    return quote(b64encode(urlencode({"p": place}).encode()))


def ids(told: Any) -> list[str]:
    return [each["id"] for each in told["results"]]


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["c", "b", "a"]),
        ("?state=live", ["c", "b", "a"]),
        ("?state=closed", ["d"]),
        ("?user=ada", ["c", "a"]),
        ("?user=ad", []),
        ("?user=", []),
        ("?route=studio", ["b"]),
        ("?node=n2", ["b"]),
        ("?node=box:7", ["c", "a"]),
        ("?node=box:8", []),
        ("?topic=experience:old-mill", ["a"]),
        ("?user=ada&state=closed", ["d"]),
        ("?user=bob&route=game", []),
    ],
)
def test_filters_find_what_matches_all_of_them(mine: str, query: str, found: list[str]) -> None:
    status, told = get(PATH + query, by=mine)
    assert (status, ids(told)) == (200, found)


@pytest.mark.usefixtures("links")
def test_a_connection_is_told_in_full(mine: str) -> None:
    _, told = get(f"{PATH}?topic=experience:old-mill", by=mine)
    (link,) = told["results"]
    assert (
        link.items()
        >= {"id": "a", "node": "n1", "route": "game", "messages_in": 3, "closed_at": None}.items()
    )
    assert link["opened_at"].endswith("Z")
    _, told = get(f"{PATH}?state=closed", by=mine)
    assert (
        told["results"][0].items()
        >= {"close_code": 1000, "close_reason": "bye", "closed_by": "client"}.items()
    )


@pytest.mark.usefixtures("any_database")
def test_pages_follow_each_other_though_links_come_meanwhile(mine: str) -> None:
    for number in range(7):
        add_connection(f"l{number}", age_seconds=100 + number)
    path, found = f"{PATH}?limit=3&route=game", []
    while path:
        _, told = get(path, by=mine)
        found.append(ids(told))
        add_connection(f"new{len(found)}", age_seconds=1)
        path = told["next"] and "{0.path}?{0.query}".format(urlsplit(told["next"]))
    assert found == [["l0", "l1", "l2"], ["l3", "l4", "l5"], ["l6"]]


@pytest.mark.usefixtures("any_database")
def test_links_that_ended_in_the_same_moment_are_each_told_once(mine: str) -> None:
    """As all of a lost node do: those are closed as of when it was last heard of."""
    rows = [connection(f"l{number:04}", closed=True) for number in range(1_300)]
    for row in rows:
        row.closed_at = rows[0].closed_at
    Connection.objects.bulk_create(rows)
    path, found = f"{PATH}?state=closed&limit=250", list[str]()
    while path and len(found) < 2 * len(rows):
        _, told = get(path, by=mine)
        found += ids(told)
        path = told["next"] and "{0.path}?{0.query}".format(urlsplit(told["next"]))
    assert found == [row.pk for row in rows]


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("?usr=ada", 400, "no such filter: usr"),
        ("?state=dead", 400, "state is live or closed, not 'dead'"),
        *(
            (f"?limit={limit}", 400, "limit is a number from 1 to 1000")
            for limit in ("", "ten", "0", "1001", "-1")
        ),
        ("?cursor=x", 404, "Invalid cursor"),
        *(
            (f"?cursor={cursor}", 404, "Invalid cursor")
            for cursor in ("cD0lRkY%3D", "cD0x", "cD0yMDI2LTEzLTAx")
        ),
        *(
            (f"?cursor={cursor_at(place)}", 404, "Invalid cursor")
            for place in (
                "2020-01-01",
                "2020-01-01T00:00:00+23:59:59",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00",
            )
        ),
    ],
)
def test_what_is_no_filter_is_refused(mine: str, query: str, status: int, says: str) -> None:
    found, told = get(PATH + query, by=mine)
    assert found == status
    assert says in told["message"]


@pytest.mark.usefixtures("any_database")
@pytest.mark.parametrize("name", ["topic", "route", "node"])
def test_closed_links_of_one_filter_are_found_by_an_index_of_it(name: str) -> None:
    field, _ = FILTERS[name]
    rows = [connection(f"{number}", closed=True) for number in range(500)]
    for number, row in enumerate(rows):
        setattr(row, field, f"{number % 5}")
    Connection.objects.bulk_create(rows)
    with database.cursor() as cursor:
        cursor.execute("ANALYZE proxy_connection")
    found = Connection.objects.filter(closed_at__isnull=False, **{field: "1"})
    assert f"connection_closed_{name}" in found.order_by("-closed_at", "id")[:5].explain()


def test_what_takes_the_database_too_long_is_its_callers_to_change(
    postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound_waits()
    monkeypatch.setattr("proxy.tables.executor.STATEMENT_SECONDS", 1.5)
    mine = key(list_connections=True)
    slow = Connection.objects.annotate(slept=Func(60, function="pg_sleep", output_field=CharField()))
    add_connection("a")
    monkeypatch.setattr(Connections, "get_queryset", lambda _: slow)
    status, told = get(PATH, by=mine)
    assert (status, told["code"]) == (400, "bad_request")
    assert "ask with one filter" in told["message"]


@pytest.mark.django_db
def test_who_may_publish_may_not_look() -> None:
    status, told = get(PATH, by=key("*", kick=True))
    assert (status, told["code"]) == (403, "forbidden")
