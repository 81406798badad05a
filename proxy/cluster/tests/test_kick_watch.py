"""A node's side of kicks: rows and messages, and what it reports."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from proxy.cluster import ending
from proxy.cluster.ending import end_in_turns
from proxy.cluster.kick_watch import KickRow, KickWatch
from proxy.cluster.tests.ends import link
from proxy.core.closes import Close, ClosedBy
from proxy.engine.links.link import Link
from proxy.models import Kick, KickReport
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("any_database")


def add_kick(kick_id: str, *, age_seconds: float = 0, **values: Any) -> None:
    Kick.objects.create(id=kick_id, reason="bye", created_at=Now() - timedelta(seconds=age_seconds), **values)


def reports() -> dict[str, int]:
    return dict(KickReport.objects.values_list("kick_id", "links"))


async def test_a_row_ends_the_links_that_are_meant_once_and_says_how_many(executor: DatabaseExecutor) -> None:
    links = {"a": link("a", "42"), "b": link("b", "42"), "c": link("c", "7")}
    watch = KickWatch(executor, node_id="me", links=lambda: [made for made, _ in links.values()])
    await executor.run(add_kick, "k", user_ids=["42"])
    for _ in range(2):
        await watch.look()
    assert [stream.ends for _, stream in links.values()] == [
        [(4001, "bye", ClosedBy.STAFF)],
        [(4001, "bye", ClosedBy.STAFF)],
        [],
    ]
    assert await executor.run(reports) == {"k": 2}


async def test_a_link_that_is_ending_already_is_no_second_kicks(executor: DatabaseExecutor) -> None:
    kicked, _ = link("a", "42")
    watch = KickWatch(executor, node_id="me", links=lambda: [kicked])
    for kick_id in ("first", "second"):
        await executor.run(add_kick, kick_id, user_ids=["42"])
        await watch.look()
    assert await executor.run(reports) == {"first": 1, "second": 0}


@pytest.mark.parametrize(
    ("whom", "ended"),
    [({"everyone": True}, ["a", "b"]), ({"connection_ids": ["b"]}, ["b"]), ({"user_ids": ["nobody"]}, [])],
)
async def test_a_row_names_everyone_or_links_or_users(
    executor: DatabaseExecutor, whom: dict[str, Any], ended: list[str]
) -> None:
    links = {"a": link("a", "42"), "b": link("b", "")}
    watch = KickWatch(executor, node_id="me", links=lambda: [made for made, _ in links.values()])
    await executor.run(add_kick, "k", **whom)
    await watch.look()
    assert [link_id for link_id, (_, stream) in links.items() if stream.ends] == ended
    assert await executor.run(reports) == {"k": len(ended)}


async def test_who_came_back_after_the_kick_stays(executor: DatabaseExecutor) -> None:
    back, stream = link("a", "42", age_seconds=1)
    watch = KickWatch(executor, node_id="me", links=lambda: [back])
    await executor.run(add_kick, "k", user_ids=["42"], age_seconds=2)
    await watch.look()
    assert stream.ends == []


async def test_a_link_that_opened_before_the_kick_and_is_let_in_after_its_row_was_seen_is_ended(
    executor: DatabaseExecutor,
) -> None:
    watch = KickWatch(executor, node_id="me", links=tuple)
    await executor.run(add_kick, "k", user_ids=["42"])
    await watch.look()
    (late, ended), (newer, stays), (other, untouched) = (
        link("a", "42"), link("b", "42", age_seconds=-1), link("c", "7"),
    )  # fmt: skip
    for let_in in (late, newer, other):
        watch.opened(let_in)
    assert (len(ended.ends), stays.ends, untouched.ends) == (1, [], [])
    await watch.look()
    assert await executor.run(reports) == {"k": 1}


async def test_a_row_is_held_once_against_each_link_and_others_get_their_turn_meanwhile(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "LINKS_A_TURN", 10)
    links = [link(f"c{number}", "42")[0] for number in range(100)]
    held, turns, looking = list[str](), 0, True

    def hits(row: KickRow, held_against: Link) -> bool:
        held.append(held_against.id)
        return False

    async def take_turns() -> None:
        nonlocal turns
        while looking:
            turns += 1 if 0 < len(held) < len(links) else 0
            await asyncio.sleep(0)

    monkeypatch.setattr(KickRow, "hits", hits)
    watch = KickWatch(executor, node_id="me", links=lambda: links)
    await executor.run(add_kick, "k", user_ids=["7"])
    async with asyncio.TaskGroup() as others:
        others.create_task(take_turns(), name="others")
        for _ in range(3):
            await watch.look()
        looking = False
    assert held == [made.id for made in links]
    assert turns >= 9


async def test_a_link_that_cannot_be_ended_keeps_no_other_and_no_later_kick_from_being_carried_out(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(close: Close, by: ClosedBy) -> None:
        raise RuntimeError("the handler is closed")

    (broken, stream), (other, ended), (third, kicked) = link("a", "42"), link("b", "42"), link("c", "7")
    monkeypatch.setattr(stream, "end", fail)
    watch = KickWatch(executor, node_id="me", links=lambda: [broken, other, third])
    await executor.run(add_kick, "k", user_ids=["42"])
    await executor.run(add_kick, "later", user_ids=["7"])
    await watch.look()
    assert (len(ended.ends), len(kicked.ends)) == (1, 1)
    assert await executor.run(reports) == {"k": 1, "later": 1}
    assert caplog.text.count("a link could not be ended") == 1


async def test_links_that_a_message_ends_are_ended_in_turns_and_others_have_theirs() -> None:
    ended, turns = list[str](), 0
    links = [link(f"c{number}", "42")[0] for number in range(1_000)]
    end_in_turns(iter(links), lambda each: ended.append(each.id))
    while len(ended) < len(links):
        turns += 1
        await asyncio.sleep(0)
    assert ended == [each.id for each in links]
    assert turns >= 10


async def test_a_node_logs_whom_a_kick_was_for_and_how_many_links_it_ended(
    executor: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = KickWatch(executor, node_id="me", links=lambda: [link("a", "42")[0]])
    await executor.run(add_kick, "k", user_ids=["42"], connection_ids=["b"])
    for _ in range(2):
        await watch.look()
    (line,) = [vars(line) for line in caplog.records if line.message == "kick carried out"]
    told = [line[name] for name in ("kick_id", "user_ids", "connection_ids", "reason", "links")]
    assert told == ["k", ["42"], ["b"], "bye", 1]


async def test_links_that_a_message_ended_are_counted_and_not_ended_again(executor: DatabaseExecutor) -> None:
    told, stream = link("a", "42")
    watch = KickWatch(executor, node_id="me", links=lambda: [told])
    watch.ended("k", told)
    await executor.run(add_kick, "k", user_ids=["42"])
    await watch.look()
    assert stream.ends == []
    assert await executor.run(reports) == {"k": 1}


async def test_kicks_of_a_long_outage_of_the_database_are_caught_up_with(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, stream = link("a", "42", age_seconds=7200)
    watch = KickWatch(executor, node_id="me", links=lambda: [old])
    await watch.look()
    assert watch._looked_at is not None
    monkeypatch.setattr(watch, "_looked_at", watch._looked_at - 3600)
    await executor.run(add_kick, "k", user_ids=["42"], age_seconds=3500)
    await executor.run(add_kick, "older", everyone=True, age_seconds=3700)
    await watch.look()
    assert len(stream.ends) == 1
