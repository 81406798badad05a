"""Which tokens are taken back: by their user, their id, or when they were issued."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest

from proxy.core.principal import Principal
from proxy.core.revoking import NOBODY_KNOWS, Revocations, Revoked, Shown

HOUR = 3600.0
NOW = 1_800_000_000.7


def shown(*, expires_at: float | None = NOW + 60, vouched: bool = False, **claims: Any) -> Shown:
    principal = Principal(user_id="ada", expires_at=expires_at, claims=claims)
    return Shown.by(principal, now=NOW, lifetime_seconds=HOUR, vouched=vouched)


def test_a_token_of_the_second_of_its_users_revocation_is_taken_back_and_one_of_the_next_is_not() -> None:
    revocations = Revocations([Revoked("ada", "", NOW)])
    assert revocations.revokes("ada", shown(iat=int(NOW)))
    assert not revocations.revokes("ada", Shown(int(NOW) + 1))
    assert not revocations.revokes("bob", shown(iat=int(NOW)))


def test_a_token_that_was_shown_before_is_taken_back_though_its_issuers_clock_is_ahead() -> None:
    assert Revocations([Revoked("ada", "", NOW + 1)]).revokes("ada", shown(iat=NOW + 30))


@pytest.mark.parametrize("iat", [None, "1800000000", True, math.nan, []])
def test_a_token_that_does_not_say_when_it_was_issued_counts_as_old_as_it_may_be(iat: object) -> None:
    may_be_old, is_new = shown(expires_at=NOW + HOUR - 1, iat=iat), shown(expires_at=NOW + HOUR + 1, iat=iat)
    revocations = Revocations([Revoked("ada", "", NOW - 0.5)])
    assert revocations.revokes("ada", may_be_old)
    assert not revocations.revokes("ada", is_new)
    assert revocations.revokes("ada", shown(expires_at=None, iat=iat))


def test_whom_a_route_has_vouched_for_is_as_old_as_the_moment_unless_its_claims_say_older() -> None:
    revocations = Revocations([Revoked("ada", "", NOW - 0.5)])
    assert not revocations.revokes("ada", shown(vouched=True, expires_at=None))
    assert revocations.revokes("ada", shown(vouched=True, iat=NOW - 1))
    assert Revocations([Revoked("ada", "", NOW + 0.5)]).revokes("ada", shown(vouched=True))


def test_a_token_is_taken_back_by_its_id_alone_and_one_without_is_not() -> None:
    revocations = Revocations([Revoked("", "a-b-c", None)])
    assert revocations.revokes("ada", shown(iat=NOW, jti="a-b-c"))
    assert not revocations.revokes("ada", shown(iat=NOW, jti="a-b-d"))
    assert not revocations.revokes("ada", shown(iat=NOW))
    assert not revocations.revokes("ada", shown(iat=NOW, jti=["a-b-c"]))


def test_any_order_and_any_steps_decide_as_a_walk_through_all_rows_does() -> None:
    """Against the plainest way to say it, for rows that come at once or later, in any order, some twice."""
    dice = random.Random(11)
    users, ids, times = ["ada", "bob", "eve", ""], ["x", "y", "z"], [100.0, 100.5, 101.0, 200.25]
    for _ in range(500):
        rows = [
            Revoked("", dice.choice(ids), None)
            if dice.random() < 0.3
            else Revoked(dice.choice(users), "", dice.choice(times))
            for _ in range(dice.randrange(8))
        ]
        split = dice.randrange(len(rows) + 1)
        revocations = Revocations(dice.sample(rows, len(rows)) + rows[:split])
        stepwise = Revocations(rows[:split])
        stepwise.add(rows[split:])
        for user_id in users[:3]:
            for issued_at in (NOBODY_KNOWS, 99, 100, 100.5, 101, 300):
                for jti in ("", "x", "q"):
                    said = any(_takes_back(row, user_id, issued_at, jti) for row in rows)
                    asked = Shown(issued_at, jti)
                    assert revocations.revokes(user_id, asked) is said
                    assert stepwise.revokes(user_id, asked) is said


def _takes_back(row: Revoked, user_id: str, issued_at: float, jti: str) -> bool:
    if row.issued_before is None:
        return row.jti == jti
    return row.user_id in {"", user_id} and issued_at < row.issued_before


def test_ten_thousand_cost_a_handshake_what_one_does() -> None:
    few, many = (
        Revocations(Revoked(f"user-{number}", "", 100.0) for number in range(most)) for most in (1, 10_000)
    )
    seconds = dict.fromkeys((few, many), math.inf)
    for _ in range(20):
        for revocations in seconds:
            began = time.perf_counter()
            for _ in range(1000):
                revocations.revokes("ada", Shown(200.0, "some-token"))
            seconds[revocations] = min(seconds[revocations], time.perf_counter() - began)
    assert seconds[many] < 3 * seconds[few]
    assert seconds[many] / 1000 < 20e-6
