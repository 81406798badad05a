"""What staff wrote down holds on every node, whoever wrote it, and however badly."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from proxy.cluster import ending
from proxy.cluster.rules import StaffRules
from proxy.cluster.tests.ends import link
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import Blocked
from proxy.models import Block
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("any_database")


def block(*rows: dict[str, Any]) -> None:
    Block.objects.bulk_create(Block(**row) for row in rows)


async def look(rules: StaffRules) -> None:
    async with asyncio.TaskGroup() as moves:
        await rules._look(moves)


async def test_a_row_that_no_form_has_checked_switches_off_no_other_block(
    executor: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    await executor.run(block, {"network": "300.1.2.3"}, {"user_id": "mallory"})
    rules = StaffRules(executor, links=tuple, pools=(), hold=Mock())
    await look(rules)
    with pytest.raises(Blocked):
        rules.check(user_id="mallory", address="192.0.2.1")
    rules.check(user_id="ada", address="192.0.2.1")
    assert "left out" in caplog.text


async def test_a_link_that_cannot_be_ended_keeps_no_other_of_a_block_open(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(close: Close, by: ClosedBy) -> None:
        raise RuntimeError("the handler is closed")

    (broken, stream), (other, ended), (third, stays) = link("a", "42"), link("b", "42"), link("c", "7")
    monkeypatch.setattr(stream, "end", fail)
    rules = StaffRules(executor, links=lambda: [broken, other, third], pools=(), hold=Mock())
    await executor.run(block, {"user_id": "42"})
    for _ in range(2):
        await look(rules)
    assert [code for code, _, _ in ended.ends] == [4003]
    assert stays.ends == []
    assert caplog.text.count("a link could not be ended") == 1


async def test_many_links_are_held_against_a_block_in_turns_and_others_have_theirs(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "LINKS_A_TURN", 10)
    links = [link(f"c{number}", "42" if number % 2 else "7") for number in range(100)]
    turns, looking = 0, True

    async def take_turns() -> None:
        nonlocal turns
        while looking:
            turns += 1 if 0 < sum(len(stream.ends) for _, stream in links) < 50 else 0
            await asyncio.sleep(0)

    rules = StaffRules(executor, links=lambda: [made for made, _ in links], pools=(), hold=Mock())
    await executor.run(block, {"user_id": "42"})
    async with asyncio.TaskGroup() as others:
        others.create_task(take_turns(), name="others")
        await look(rules)
        looking = False
    assert [len(stream.ends) for _, stream in links] == [0, 1] * 50
    assert turns >= 9
