"""Who is moved to the session service."""

from __future__ import annotations

from typing import Any

import pytest

from experience.actions.share import STAYS, Share
from proxy.api import Principal

USERS = [f"user-{number}" for number in range(2_000)]


def moved(percent: float) -> set[str]:
    share = Share("v2", percent)
    return {user for user in USERS if share.route_of(Principal(user_id=user)) == "v2"}


def test_a_share_is_that_many_of_the_users_and_each_greater_one_has_them_all() -> None:
    nobody, few, some, all_of_them = (moved(percent) for percent in (0, 5, 25, 100))
    assert nobody < few < some < all_of_them
    assert 0.03 < len(few) / len(USERS) < 0.07
    assert 0.22 < len(some) / len(USERS) < 0.28
    assert all_of_them == {*USERS}


@pytest.mark.parametrize(
    ("claims", "percent", "route"),
    [
        ({"new": True}, 0, "v2"),
        ({"new": False}, 100, STAYS),
        ({"new": "yes"}, 100, "v2"),
        ({"new": 1}, 0, STAYS),
        ({}, 100, "v2"),
    ],
)
def test_a_claim_goes_before_the_share_if_it_is_true_or_false(
    claims: dict[str, Any], percent: float, route: str
) -> None:
    assert Share("v2", percent, claim="new").route_of(Principal(user_id="7", claims=claims)) == route


def test_nobody_is_asked_about_where_nobody_can_be_moved() -> None:
    assert Share("v2", 0).divert() is None
    assert Share("v2", 0, claim="new").divert() is not None
