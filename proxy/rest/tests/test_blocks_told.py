"""Blocks over HTTP: which hold, whom they keep out, and who placed them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from proxy.models import Block, ProgramDeed
from proxy.rest.tests.calling import get, may, post, results

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def mine() -> str:
    return may("view_block", "view_connection")


def test_blocks_that_hold_are_told_and_others_where_they_are_asked_for(mine: str) -> None:
    vera, now = User.objects.create_user("vera"), timezone.now()
    Block.objects.create(user_id="ada", reason="spam", created_by=vera)
    Block.objects.create(network="192.0.2.0/24", until=now + timedelta(hours=1))
    Block.objects.create(user_id="bob", until=now - timedelta(hours=1))
    assert results("/api/blocks", mine, "network") == ["192.0.2.0/24", ""]
    assert results("/api/blocks?state=over", mine, "user_id") == ["bob"]
    assert len(results("/api/blocks?state=all", mine)) == 3
    _, told = get("/api/blocks?user=ada", by=mine)
    (block,) = told["results"]
    assert block | {"id": 0, "created_at": ""} == {
        "id": 0,
        "user_id": "ada",
        "network": "",
        "until": None,
        "reason": "spam",
        "created_at": "",
        "by": "vera",
    }


@pytest.mark.parametrize(
    ("network", "found"),
    [
        ("192.0.2.7", ["192.0.2.7/32", "192.0.2.0/24"]),
        ("192.0.2.7/32", ["192.0.2.7/32", "192.0.2.0/24"]),
        ("192.0.2.7/24", ["192.0.2.0/24"]),
        ("192.0.0.0/16", []),
        ("::ffff:192.0.2.9", ["192.0.2.0/24"]),
        ("2001:DB8:0:0::7", ["2001:db8::/32"]),
        ("[2001:db8::7]:443", ["2001:db8::/32"]),
        ("2001:db8:0::/48", ["2001:db8::/32"]),
        ("2001:db9::", []),
    ],
)
def test_blocks_that_keep_out_an_address_or_all_of_a_network_are_found(
    mine: str, network: str, found: list[str]
) -> None:
    for each in ("2001:db8::/32", "192.0.2.0/24", "192.0.2.7/32"):
        Block.objects.create(network=each)
    Block.objects.create(user_id="ada")
    assert results(f"/api/blocks?network={network}", mine, "network") == found


def test_a_block_of_a_program_names_it(mine: str) -> None:
    placed = {"user_id": "eve", "until": None, "reason": "spam"}
    _, told = post(placed, by=may("add_block"), path="/api/block")
    (by,) = results("/api/blocks", mine, "by")
    assert by == told["block"]["by"] == ProgramDeed.objects.get().who
    assert by.startswith("key game (")
    assert [each["by"] for each in get("/api/people/eve", by=mine)[1]["blocks"]] == [by]
