import asyncio

import pytest

from proxy.admin.logins import MOST_WAITING, MOST_WAITING_PER_ADDRESS, Turns


async def quick() -> str:
    return "answer"


async def test_who_hangs_up_keeps_the_turn_until_the_work_ends() -> None:
    turns, began, may_end = Turns(), asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        began.set()
        await may_end.wait()
        return "late"

    async with asyncio.timeout(30), asyncio.TaskGroup() as clients:
        first = clients.create_task(turns.run("a", slow))
        await began.wait()
        first.cancel()
        second = clients.create_task(turns.run("b", quick))
        await asyncio.wait([first])
        assert not second.done()
        may_end.set()
        assert await second == "answer"


@pytest.mark.parametrize(
    ("address", "most"),
    [("a", MOST_WAITING_PER_ADDRESS), ("{}", MOST_WAITING)],
    ids=["of one address", "in all"],
)
async def test_so_many_may_wait(address: str, most: int) -> None:
    turns, may_end = Turns(), asyncio.Event()

    async def slow() -> str:
        await may_end.wait()
        return "answer"

    async with asyncio.timeout(30):
        clients = [asyncio.create_task(turns.run(address.format(number), slow)) for number in range(most + 3)]
        await asyncio.wait(clients, return_when=asyncio.FIRST_COMPLETED)
        may_end.set()
        answers = await asyncio.gather(*clients)

    assert answers == ["answer"] * (most + 1) + [None] * 2
    assert await turns.run("a", quick) == "answer"


async def test_a_turn_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.admin.logins.TURN_SECONDS", 0.01)
    turns, may_end = Turns(), asyncio.Event()

    async def slow() -> str:
        await may_end.wait()
        return "answer"

    async with asyncio.timeout(30), asyncio.TaskGroup() as clients:
        first = clients.create_task(turns.run("a", slow))
        await asyncio.sleep(0)
        assert await turns.run("b", quick) is None
        may_end.set()

    assert first.result() == "answer"
