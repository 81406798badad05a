"""Each case of Autobahn's chapters 1 to 10, through the gateway."""

from __future__ import annotations

import asyncio

import pytest

from config.tests.conformance.case import BINARY, PONG, Case, Judge, frame
from config.tests.conformance.cases import ALL
from config.tests.conformance.conftest import Subject, Way
from config.tests.conformance.wire import End, Heard, Wire, close_frame, opened

CASE_SECONDS = 15.0


@pytest.mark.parametrize("case", ALL, ids=str)
async def test_case(subject: Subject, case: Case, name: str) -> None:
    leave_out(subject.way, case)
    async with asyncio.timeout(CASE_SECONDS), opened(subject.url(name)) as wire:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send(wire, case), name="send")
            heard, end = await hear(wire, case)
        assert await wire.eof(), "the server has to close TCP after its close"
    if case.fails is None and not case.ends:
        assert (heard, end.code) == (list(case.hears), 1000)
        return
    assert heard == list(case.hears)[: len(heard)]  # what was not answered yet was cut off by the end
    if case.fails is None:
        assert end.code in case.ends
    else:
        assert end.code in failures(subject.way, case.fails)
        service_judges = subject.way.is_spliced and case.judge is Judge.SERVICE
        assert await subject.service.has_failed(name) is service_judges


OURS = [way for way in Way if way is not Way.DAPHNE]
AFTER_IT = 64  # of 64 KiB each: more than fits into the buffers of both sockets


@pytest.mark.parametrize("subject", OURS, ids=str, indirect=True)
@pytest.mark.parametrize(
    ("bad", "code"),
    [(frame(3), 1002), (frame(BINARY, bytes((1 << 20) + 1))[:100], 1009)],
    ids=["reserved opcode", "too big"],
)
async def test_a_client_in_the_middle_of_sending_still_reads_why_it_failed(
    subject: Subject, bad: bytes, code: int, name: str
) -> None:
    async with asyncio.timeout(CASE_SECONDS), opened(subject.url(name)) as wire:
        await wire.send(bad)
        for _ in range(AFTER_IT):
            await wire.send(bytes(1 << 16))
        end = await wire.hear()
    assert isinstance(end, End)
    assert end.code == code


def leave_out(way: Way, case: Case) -> None:
    """What stock Daphne cannot do; `serve` can."""
    if way is Way.DAPHNE and any(not heard.payload and heard.opcode != PONG for heard in case.hears):
        pytest.skip("stock Daphne loses empty messages")
    if way is Way.DAPHNE and 1014 in case.ends:
        pytest.skip("stock Daphne does not know 1014")


def failures(way: Way, code: int) -> set[int | None]:
    """Stock Daphne's autobahn ends TCP without a close."""
    return {None, code} if way is Way.DAPHNE else {code}


async def send(wire: Wire, case: Case) -> None:
    for piece in case.writes():
        await wire.send(piece)
        if case.octets or not case.at_once:
            await asyncio.sleep(0)


async def hear(wire: Wire, case: Case) -> tuple[list[Heard], End]:
    """What comes until the end; the client closes once it has heard all that it waits for."""
    heard: list[Heard] = []
    waits = case.fails is None and not case.ends
    while True:
        if waits and len(heard) == len(case.hears):
            await wire.send(close_frame())
            waits = False
        said = await wire.hear()
        if isinstance(said, End):
            await wire.send(close_frame())  # it closed first, or does not read this any more
            return heard, said
        heard.append(said)
