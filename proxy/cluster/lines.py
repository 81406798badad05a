"""An event loop's own connections to the Redis of the layer, for those who publish and wait for answers.

redis-py's client, with the tasks and locks around it, cost more than all the rest of a publication.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.cluster.questions import SEND_SECONDS, LayerAway
from proxy.core import backoff
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.pipeline import Pipeline, told

# Calls on their way to Redis; those with a large reply; streams that are waited for, each on a connection.
_QUICK_AT_ONCE, _LARGE_AT_ONCE, _READ_AT_ONCE = 64, 4, 32
# Who has no connection to wait on looks again after pauses that grow from one to the other.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 0.16


class _Line:
    """A connection that carries out calls in their order, so many on their way at a time."""

    def __init__(self, pipeline: Pipeline, *, at_once: int) -> None:
        self.pipeline, self._turns = pipeline, asyncio.Semaphore(at_once)

    async def call(self, *commands: Sequence[str | bytes]) -> list[Any]:
        """What Redis replies to each. Raises TimeoutError and other OSErrors, CommandRefused.

        It has SEND_SECONDS until it is sent and as many for the replies: who ends the connection of others
        has waited for Redis so long, and not for a turn.
        """
        has_turn = is_sent = False
        try:
            async with asyncio.timeout(SEND_SECONDS) as deadline, self._turns:
                has_turn = True
                replies = await self.pipeline.send(commands)
                is_sent = True
                deadline.reschedule(asyncio.get_running_loop().time() + SEND_SECONDS)
                return [told(await reply) for reply in replies]
        except TimeoutError:
            if not has_turn:
                raise LayerAway(
                    f"so much waits for Redis that nothing was sent in {SEND_SECONDS:g} s"
                ) from None
            if is_sent:
                self.pipeline.drop()
            raise


class Lines:
    """A connection for what takes no time, one for what has a large reply, one for answers, and one for each
    who waits for streams, since Redis takes nothing else on it meanwhile: as many as wait, up to a bound.
    """

    def __init__(self, url: str) -> None:
        """Connects to nothing yet."""
        self._address = RedisAddress.parse(url)
        self._quick = _Line(self._connection(), at_once=_QUICK_AT_ONCE)
        self._large = _Line(self._connection(), at_once=_LARGE_AT_ONCE)
        self._answers = _Line(self._connection(), at_once=1)
        self._idle: list[Pipeline] = []
        self._reading = 0

    async def run_script(self, name: str, *words: str | bytes | int, is_large: bool = False) -> Any:
        """`EVALSHA` or `EVAL`. Raises TimeoutError and other OSErrors, CommandRefused."""
        line = self._large if is_large else self._quick
        (reply,) = await self._call(line, (name, *(_word(each) for each in words)))
        return reply

    async def answer(self, commands: Sequence[Sequence[str]]) -> None:
        """Carry out what brings answers to who asks: it waits behind nothing else. Raises likewise."""
        await self._call(self._answers, *commands)

    async def read(self, positions: Mapping[str, str | bytes], count: int, wait_ms: int | None) -> list[Any]:
        """What is in streams behind those positions, as redis-py's `xread` answers it. Raises likewise.

        It waits for so long until there is something; None: it does not. So it is, too, for those for whom
        there is no connection: they look now and then.
        """
        streams, head = (*positions, *positions.values()), ("XREAD", "COUNT", str(count))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (wait_ms or 0) / 1000
        for pause in backoff.delays(_FIRST_PAUSE_SECONDS, longest_seconds=_LONGEST_PAUSE_SECONDS):
            left = deadline - loop.time()
            if left > 0 and self._reading < _READ_AT_ONCE:
                block = ("BLOCK", str(max(1, int(left * 1000))))
                reply = await self._wait_for(*head, *block, "STREAMS", *streams, seconds=left)
                break
            (reply,) = await self._call(self._quick, (*head, "STREAMS", *streams))
            if reply or left <= 0:
                break
            await asyncio.sleep(min(pause, left))
        return [(key, [(at, _pairs(fields)) for at, fields in entries]) for key, entries in reply or ()]

    async def _call(self, line: _Line, *commands: Sequence[str | bytes]) -> list[Any]:
        try:
            return await line.call(*commands)
        except TimeoutError:
            self._leave_idle()
            raise

    def _leave_idle(self) -> None:
        """Where one connection has gone dead, those that are as old may have."""
        for pipeline in self._idle:
            pipeline.drop()
        self._idle.clear()

    async def _wait_for(self, *words: str | bytes, seconds: float) -> Any:
        """The reply to a command that takes so long. Raises likewise."""
        line = self._idle.pop() if self._idle else self._connection()
        self._reading += 1
        try:
            async with asyncio.timeout(seconds + SEND_SECONDS):
                reply = await line.call(*words)
        except BaseException as error:  # cancelled, too: the reply is still to come
            line.drop()
            if isinstance(error, TimeoutError):
                self._leave_idle()
            raise
        finally:
            self._reading -= 1
        self._idle.append(line)
        return reply

    async def close(self) -> None:
        """Close all that nobody reads from; they may be used again."""
        for line in (self._quick, self._large, self._answers):
            await line.pipeline.close()
        for pipeline in self._idle:
            await pipeline.close()

    def _connection(self) -> Pipeline:
        return Pipeline(self._address)


def _word(word: str | bytes | int) -> str | bytes:
    return str(word) if isinstance(word, int) else word


def _pairs(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))
