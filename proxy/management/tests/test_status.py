"""`manage.py status` when something is wrong: what it knows, what it does not, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from config.testing.servers import ValkeyServer
from proxy.cluster.tests.telling import tell
from proxy.management.tests.playing import play
from proxy.models import MemberReport, PoolMember
from proxy.tests.rows import add_node


@pytest.fixture
def _drained(any_database: None) -> None:
    """A node runs, and each member of the studio's pool is drained."""
    add_node()
    for url in ("ws://a:1/ws", "ws://b:1/ws"):
        PoolMember.objects.create(pool="studio", url=url, draining=True)


@contextmanager
def database_away() -> Iterator[None]:
    """Every statement fails, as with a server that is gone."""

    def fail(*_: Any) -> Any:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(fail):
        yield


@pytest.mark.usefixtures("_drained")
def test_a_pool_whose_members_are_all_drained_is_bad_and_named() -> None:
    found = play("status")
    said = "studio: every member is drained: nothing can be dialled"
    assert (found.code, found.out.splitlines()[0]) == (1, said)
    assert "pool studio  no member takes new links, 2 drained" in found.out.splitlines()
    told = play("status", "--json").told
    assert (told["level"], told["says"]) == ("bad", [said])
    (pool,) = (each for each in told["pools"] if each["name"] == "studio")
    assert pool == {"name": "studio", "members": 0, "down": 0, "full": 0, "drained": 2}


@pytest.mark.usefixtures("_drained")
def test_a_pool_with_one_member_left_is_well_and_says_how_many_are_drained() -> None:
    member = PoolMember.objects.get(url="ws://b:1/ws")
    member.draining = False
    member.save()
    report = {"breaker": "closed", "updated_at": timezone.now()}
    MemberReport.objects.create(pool="studio", url=member.url, node_id="n1", state="available", **report)
    found = play("status")
    assert (found.code, found.out.splitlines()[0]) == (0, "Healthy")
    assert "pool studio  1 member, 1 drained" in found.out.splitlines()


@pytest.mark.django_db
def test_without_the_database_there_is_a_document_of_what_redis_knows(
    settings: Settings, own_valkey: ValkeyServer
) -> None:
    settings.REDIS_URL = own_valkey.url
    now = int(time.time())
    tell(own_valkey, range(now - 5, now - 1), opens=5)
    with database_away():
        found, shown = play("status", "--json"), play("status")
    assert (found.code, found.err, shown.code) == (1, "", 1)
    told = found.told
    assert (told["level"], told["says"]) == ("bad", ["the database is away (connection refused)"])
    assert (told["database_is_away"], told["redis_is_away"]) == (True, False)
    assert (told["totals"], told["pools"], told["refused"]) == (None, None, None)
    assert told["nodes"] == {"running": 2, "draining": 0, "gone": None}
    assert (told["figures"]["opens"], told["figures"]["seconds"]) == (10, 4)
    lines = shown.out.splitlines()
    assert lines[0] == told["says"][0]
    assert "pools     not known: the database is away" in lines
    assert any(line.startswith("figures   the mean of 4 seconds, until ") for line in lines)


@pytest.mark.django_db
def test_without_database_and_redis_the_document_says_both(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with database_away():
        found, shown = play("status", "--json"), play("status")
    assert found.code == shown.code == 1
    assert found.told["says"] == ["the database is away (connection refused)", "Redis is away"]
    assert (found.told["figures"], found.told["nodes"]) == (None, None)
    assert "nodes    not known: the database is away" in shown.out.splitlines()


@pytest.mark.django_db
@pytest.mark.parametrize("words", [["nodes"], ["connections"], ["audit"], ["unblock", "1", "--reason", "x"]])
def test_what_cannot_be_had_without_the_database_is_a_document_too(words: list[str]) -> None:
    with database_away():
        found = play(*words, "--json")
    assert (found.code, found.failure) == (1, "failed")
    assert found.told["message"] == "the database is away (connection refused)"
