"""What waits in a link of the session service, and what it asks the KB."""

from __future__ import annotations

import asyncio
import json

from experience.actions.client import Action
from experience.actions.leg import ActionLeg, LegLimits, Message, Waiting
from proxy.api import Principal, Subject


class SlowKb:
    """Answers when it may, with the id that it was asked under."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()

    async def ask(self, action: Action) -> str:
        self.asked.append(action.id)
        await self.may_answer.wait()
        return action.id


async def greeted(kb: SlowKb, limits: LegLimits) -> ActionLeg:
    """A leg that has said `connected`."""
    asked = {"experience": "wylding-woods"}
    subject = Subject(connection_id="c", principal=Principal(user_id="42"), query=asked)
    leg = ActionLeg(subject, kb, limits)
    assert json.loads(await leg.receive())["type"] == "connected"
    return leg


async def test_what_waits_is_taken_in_order_and_never_more_than_may() -> None:
    waiting, put, taken = Waiting(2, most_bytes=1000), list[str](), list[Message]()

    async def fill() -> None:
        for number in range(20):
            await waiting.put(str(number), 0.0)
            put.append(str(number))

    async def take() -> None:
        for _ in range(20):
            taken.append((await waiting.take())[0])

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(fill())
        for _ in range(5):
            await asyncio.sleep(0)
        assert put == ["0", "1"]
        tasks.create_task(take())
    assert taken == put == [str(number) for number in range(20)]


async def test_what_waits_is_bounded_by_its_bytes() -> None:
    waiting = Waiting(100, most_bytes=10)
    for message in ("é" * 4, "1", None, "1"):  # 10 at most, and one more would be
        await asyncio.wait_for(waiting.put(message, 0.0), 5)
    full = asyncio.create_task(waiting.put("late", 0.0))
    assert not (await asyncio.wait([full], timeout=0.05))[0]
    await waiting.take()
    await asyncio.wait_for(full, 5)


async def test_an_answer_whose_receiver_was_cancelled_comes_to_the_next_one() -> None:
    kb = SlowKb()
    leg = await greeted(kb, LegLimits())
    for _ in range(2):
        await leg.send('{"type":"get_state"}')
    receiving = asyncio.create_task(leg.receive())
    while not kb.asked:
        await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])
    kb.may_answer.set()
    assert [await leg.receive(), await leg.receive()] == ["c.1", "c.2"]
    assert kb.asked == ["c.1", "c.1", "c.2"]


async def test_what_is_too_large_for_the_kb_is_answered_in_its_turn_and_not_kept() -> None:
    kb = SlowKb()
    kb.may_answer.set()
    leg = await greeted(kb, LegLimits(max_message_bytes=30))
    for text in ('{"type":"get_state"}', '{"type":"' + "é" * 20 + '"}', '{"type":"ping"}'):
        await leg.send(text)
    answers = [await leg.receive() for _ in range(3)]
    assert (answers[0], json.loads(answers[2])["type"]) == ("c.1", "pong")
    assert json.loads(answers[1])["code"] == "request_entity_too_large"


async def test_who_is_cancelled_while_it_waits_takes_nothing() -> None:
    waiting = Waiting(1, most_bytes=1000)
    taker = asyncio.create_task(waiting.take())
    await asyncio.sleep(0)
    taker.cancel()
    await asyncio.wait([taker])
    await waiting.put("kept", 1.0)
    assert await waiting.take() == ("kept", 1.0)
