"""What a node says of who is on a topic: all of them, and in turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.cluster.presence import Presence, Roll
from proxy.cluster.questions import Answers
from proxy.cluster.tests.ends import link


class Said:
    """An answering that keeps what it is to bring to who asks."""

    def __init__(self) -> None:
        self.answer_to_come: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def answer(self, _: object, said: str) -> None:
        self.answer_to_come.set_result(said)


@pytest.mark.parametrize(("links", "named"), [(0, 10), (3, 10), (3, 0), (1500, 1499), (10_000, 10_000)])
async def test_a_node_names_those_that_are_there_and_others_have_their_turns_meanwhile(
    links: int, named: int
) -> None:
    here, said = [link(f"l{number}", f"u{number % 7}")[0] for number in range(links)], Said()
    gone, turns = link("gone", "ada")[0], 0
    roll: Any = Roll(said, live={each.id for each in here})  # type: ignore[arg-type]
    roll._asked({"named": named}, [gone, *here])
    while not said.answer_to_come.done():
        await asyncio.sleep(0)
        turns += 1
    found = Presence.of(Answers((said.answer_to_come.result(),)), named=named)
    assert (found.links, [each.connection_id for each in found.who]) == (
        links,
        [each.id for each in here[:named]],
    )
    assert turns == max(0, min(links, named) - 1) // 500
