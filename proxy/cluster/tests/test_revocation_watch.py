"""What is taken back ends the links that were opened by it, and opens no other."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from proxy.cluster.revocation_watch import (
    OVERLAP_SECONDS,
    WHOLE_SECONDS,
    RevocationWatch,
    _tell_of_long_lives,
    is_revoked,
    shown_by,
)
from proxy.cluster.revocations import revoke
from proxy.cluster.tests.ends import Ends, link
from proxy.core.closes import ClosedBy
from proxy.core.errors import TokenRevoked
from proxy.core.principal import Principal
from proxy.core.revoking import Shown
from proxy.engine.links.link import Link
from proxy.models import Revocation
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("any_database")


def principal(user_id: str, **claims: Any) -> Principal:
    return Principal(user_id=user_id, expires_at=time.time() + 60, claims=claims)


def opened(link_id: str, user_id: str, *, ago_seconds: float = 10.0, jti: str = "") -> tuple[Link, Ends]:
    made, ends = link(link_id, user_id)
    made.shown = Shown(time.time() - ago_seconds, jti)
    return made, ends


async def test_links_of_a_user_of_a_token_and_of_everybody_end_and_others_stay(
    executor: DatabaseExecutor,
) -> None:
    links = {
        name: opened(name, user, ago_seconds=ago, jti=name)
        for name, user, ago in (("a", "ada", 10), ("b", "ada", -10), ("c", "bob", 10), ("d", "eve", 1000))
    }
    watch = RevocationWatch(executor, links=lambda: [made for made, _ in links.values()])
    await watch.look()
    await executor.run(revoke, user="ada")
    await watch.look()
    await executor.run(revoke, jti="c")
    await executor.run(revoke, issued_before=datetime.now(UTC) - timedelta(seconds=500))
    for _ in range(2):
        await watch.look()
    ended = {name: ends.ends[:1] for name, (_, ends) in links.items()}
    assert ended.pop("b") == []
    assert list(ended.values()) == [[(4011, "token revoked", ClosedBy.GATEWAY)]] * 3


async def test_a_refreshed_link_is_judged_by_its_new_token(executor: DatabaseExecutor) -> None:
    (made, ends), (other, others_ends) = opened("a", "ada", jti="old"), opened("b", "ada", jti="old")
    watch = RevocationWatch(executor, links=lambda: [made, other])
    made.shown = Shown(time.time(), "new")
    await executor.run(revoke, jti="old")
    await watch.look()
    assert (ends.ends, len(others_ends.ends)) == ([], 1)
    await executor.run(revoke, jti="new")
    await watch.look()
    assert len(ends.ends) == 1


async def test_the_second_look_reads_no_more_than_what_is_new(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await executor.run(revoke, user="ada")
    long_ago = datetime.now(UTC) - timedelta(seconds=2 * OVERLAP_SECONDS)
    await executor.run(Revocation.objects.update, created_at=long_ago)
    watch = RevocationWatch(executor, links=tuple)
    await watch.look()
    read, load = list[dict[int, Any]](), RevocationWatch._look_for_new.__globals__["load_new"]

    def noted(*, within_seconds: float) -> dict[int, Any]:
        read.append(load(within_seconds=within_seconds))
        return read[-1]

    monkeypatch.setattr("proxy.cluster.revocation_watch.load_new", noted)
    await executor.run(revoke, user="bob")
    await watch.look()
    assert [row.user_id for rows in read for row in rows.values()] == ["bob"]
    for user_id in ("ada", "bob"):
        with pytest.raises(TokenRevoked):
            watch.check(user_id, shown_by(principal(user_id, iat=int(time.time()) - 1)))


async def test_all_of_many_are_remembered(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.revocation_watch.ROWS_AT_ONCE", 2)
    watch = RevocationWatch(executor, links=tuple)
    for user_id in "abcde":
        await executor.run(revoke, user=user_id)
    await watch.look()
    for user_id in "abcde":
        with pytest.raises(TokenRevoked):
            watch.check(user_id, shown_by(principal(user_id, iat=int(time.time()) - 1)))


async def test_what_a_long_transaction_takes_back_is_new_when_it_is_committed(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 3 * OVERLAP_SECONDS])  # when it is written, when it is committed
    monkeypatch.setattr("proxy.cluster.rules.monotonic", partial(next, clock))
    monkeypatch.setattr("proxy.cluster.rules.send_to_topic_sync", lambda *_: None)
    watch = RevocationWatch(executor, links=tuple)
    await watch.look()

    def revoke_in_a_long_transaction() -> None:
        with transaction.atomic():
            row = revoke(user="ada")
            long_ago = datetime.now(UTC) - timedelta(seconds=2 * OVERLAP_SECONDS)
            Revocation.objects.filter(pk=row.pk).update(created_at=long_ago)

    await executor.run(revoke_in_a_long_transaction)
    await watch.look()
    with pytest.raises(TokenRevoked):
        watch.check("ada", shown_by(principal("ada", iat=int(time.time()) - 1)))


async def test_tokens_that_live_longer_than_said_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    _tell_of_long_lives.cache_clear()
    now = int(time.time())
    for days in (29, 31, 90):
        shown_by(Principal(user_id="ada", claims={"iat": now}, expires_at=now + days * 86_400))
    assert sum("JWT_LIFETIME_SECONDS" in line for line in caplog.messages) == 1


async def test_a_row_that_was_committed_late_and_one_that_is_over_are_seen_in_the_end(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = RevocationWatch(executor, links=tuple)
    await executor.run(revoke, user="ada")
    await watch.look()
    await executor.run(Revocation.objects.update, until=datetime.now(UTC) - timedelta(seconds=1))
    await executor.run(revoke, user="bob")
    long_ago = datetime.now(UTC) - timedelta(seconds=2 * OVERLAP_SECONDS)
    await executor.run(Revocation.objects.filter(user_id="bob").update, created_at=long_ago)
    await watch.look()
    ada, bob = (principal(user_id, iat=int(time.time()) - 1) for user_id in ("ada", "bob"))
    watch.check(bob.user_id, shown_by(bob))
    with pytest.raises(TokenRevoked):
        watch.check(ada.user_id, shown_by(ada))

    monkeypatch.setattr(watch, "_whole_at", asyncio.get_running_loop().time() - WHOLE_SECONDS)
    await watch.look()
    watch.check(ada.user_id, shown_by(ada))
    with pytest.raises(TokenRevoked):
        watch.check(bob.user_id, shown_by(bob))


@pytest.mark.parametrize("row", [{"user": "ada"}, {"jti": "x"}, {"issued_before": datetime.now(UTC)}])
def test_code_without_a_node_judges_as_nodes_do(row: dict[str, Any]) -> None:
    revoke(**row)
    old, new = int(time.time()) - 1000, int(time.time()) + 1000  # a clock that is ahead
    assert is_revoked(principal("ada", iat=old, jti="x"))
    assert not is_revoked(principal("ada", iat=new, jti="y"))
    assert is_revoked(principal("bob", iat=old, jti="y")) is ("issued_before" in row)
    assert is_revoked(principal("ada")) is ("jti" not in row)
    Revocation.objects.update(until=datetime.now(UTC))
    assert not is_revoked(principal("ada", iat=old, jti="x"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "Name a user"),
        ({"user": "ada", "jti": "x"}, "says it all"),
        ({"jti": "x", "issued_before": datetime.now(UTC)}, "says it all"),
        ({"user": "a\nb"}, "printable"),
        ({"jti": "x" * 256}, "at most 255"),
        ({"user": "ada", "issued_before": datetime.now(UTC) + timedelta(hours=1)}, "Not a time to come"),
    ],
)
def test_what_could_not_be_meant_takes_nothing_back(row: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        revoke(**row)
    assert not Revocation.objects.exists()
