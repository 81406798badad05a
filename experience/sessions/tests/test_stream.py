"""A stream as its reader sees it: what is missing is told, and to find one's place costs little."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from experience.sessions import stream

KEY, UP = "session:s:down", "session:s:up"
KEPT = stream.Kept(1000, 3600, 1 << 20)


@dataclass
class Reader:
    """Reads numbers, now and then from where it was as one that comes back would."""

    redis: Any
    place: stream.Place = field(default_factory=lambda: stream.Place(stream.BEGINNING, 0))
    last: int = 0

    async def come_back(self) -> bool:
        """Whether it is told that something may be missing."""
        self.place, is_whole = stream.found(
            await self.redis.execute_command(*stream.find(KEY, self.place.id))
        )
        return not is_whole

    async def read(self, *, most: int, keep: int) -> tuple[list[int], bool]:
        kept = stream.Kept(keep, 3600, 1 << 20)
        words = stream.read(KEY, self.place, most=most, most_bytes=1 << 20, kept=kept)
        batch = self.place.take(await self.redis.execute_command(*words))
        return [int(message) for _, message in batch.entries], batch.has_gap


@pytest.mark.parametrize("seed", range(4))
async def test_who_is_not_told_of_a_gap_has_missed_nothing_and_who_is_has_missed_something(
    redis: Redis, seed: int
) -> None:
    """But where what it saw last was removed, and that alone: it comes back then, and nobody can know."""
    chance, reader, added, gaps, is_told = random.Random(seed), Reader(redis), 0, 0, False
    for _ in range(300):
        for _ in range(chance.choice((0, 1, 2, 9))):
            added += 1
            await redis.xadd(KEY, {"message": added})
        if chance.random() < 0.2:
            await redis.xtrim(KEY, maxlen=chance.randrange(12), approximate=False)
        first = await _first(redis, default=added + 1)
        if chance.random() < 0.2:
            is_told |= await reader.come_back()
        numbers, has_gap = await reader.read(most=chance.choice((1, 3, 100)), keep=20)
        is_told |= has_gap
        if numbers:
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            has_missed = numbers[0] > reader.last + 1
            assert numbers[0] > reader.last
            assert is_told or not has_missed
            assert has_missed or not is_told or first == reader.last + 1
            gaps += has_missed
            reader.last, is_told = numbers[-1], False
    assert gaps > 3


async def _first(redis: Redis, *, default: int) -> int:
    entries: Any = await redis.xrange(KEY, count=1)
    return int(entries[0][1][b"message"]) if entries else default


async def _add(redis: Any, message: str) -> int:
    """How much memory the stream takes then."""
    await redis.execute_command(*stream.add(UP, message, kept=KEPT))
    return int(await redis.memory_usage(UP, samples=0))


async def test_however_large_its_messages_are_a_stream_takes_no_more_memory_than_it_may(redis: Redis) -> None:
    for number in range(64):
        assert await _add(redis, f"{number} {'x' * 100_000}") <= KEPT.bytes
    entries: Any = await redis.xrange(UP)
    numbers = [int(fields[b"message"].partition(b" ")[0]) for _, fields in entries]
    assert numbers == list(range(57, 64))
    assert max([await _add(redis, "x" * 250) for _ in range(1100)]) <= KEPT.bytes
    assert await redis.xlen(UP) >= KEPT.messages
    await _add(redis, "x" * (2 << 20))
    assert await redis.xlen(UP) == 1


async def test_what_is_removed_for_its_size_before_a_reader_comes_to_it_is_a_gap(redis: Any) -> None:
    for number in range(64):
        await redis.xadd(KEY, {"message": f"{number} {'x' * 100_000}"})
    place, numbers, gaps = stream.Place(stream.BEGINNING, 0), list[int](), list[bool]()
    for _ in range(12):
        words = stream.read(KEY, place, most=1, most_bytes=1, kept=KEPT)
        batch = place.take(await redis.execute_command(*words))
        numbers += [int(message.partition(b" ")[0]) for _, message in batch.entries]
        gaps.append(batch.has_gap)
    assert numbers == [0, *range(57, 64)]
    assert gaps == [False, True, *[False] * 10]


async def test_to_find_a_place_costs_the_same_however_much_is_behind_it(redis: Redis) -> None:
    costs = []
    for count in (10, 2000):
        async with redis.pipeline(transaction=False) as several:
            for _ in range(count):
                several.xadd(KEY, {"message": "x" * 5000})
            since = (await several.execute())[0]
        costs.append(min([await _microseconds(redis, since) for _ in range(5)]))
    assert costs[1] < 5 * costs[0]


async def _microseconds(redis: Any, since: bytes) -> int:
    """What one such question takes Redis."""
    await redis.config_resetstat()
    await redis.execute_command(*stream.find(KEY, since))
    return int((await redis.info("commandstats"))["cmdstat_eval"]["usec"])


@pytest.mark.parametrize("is_there", [True, False], ids=["a stream", "none yet"])
async def test_a_redis_that_does_not_count_what_was_added_is_named_and_no_place_is_found_in_it(
    redis: Any, is_there: bool
) -> None:
    """One before 7, in which nobody could be told of a gap: its count, and its version, go by no name."""
    if is_there:
        await redis.xadd(KEY, {"message": 1})
    name, script, *rest = stream.find(KEY, b"")
    as_old_one = str(script).replace("'entries-added'", "'none'").replace("REDIS_VERSION_NUM", "none")
    with pytest.raises(ResponseError, match="needs Redis 7, or Valkey"):
        await redis.execute_command(name, as_old_one, *rest)
