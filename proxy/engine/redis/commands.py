"""Commands to the gateway's Redis of all in this process, over one connection and in the order they came.

What comes while a call is under way shares the next round trip. redis-py's own client takes a connection for
each who waits, so that a storm of handshakes would be a storm of connections; it reads the answers here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from redis import Redis
from redis.exceptions import ResponseError

from proxy.core.wording import in_words
from proxy.engine.calls import call_within, wait_at_most
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.connection import SAYS_AWAY
from proxy.engine.redis.pipeline import Pipeline

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500
MOST_WAITING = 20_000
CALL_SECONDS = 5.0
# After so much quiet the Redis is asked whether it is there: nobody should be the one who finds out.
PING_SECONDS = 3.0
AWAY_SECONDS = 0.5

Word = str | bytes | int
_CALLBACKS: Any = Redis(protocol=2).response_callbacks


class CommandsAway(Exception):
    """Redis cannot be reached, or was lost meanwhile: whether it has done what it was told is not known."""


class _Waiting:
    """A command, and who waits for its answer; None: nobody."""

    __slots__ = ("answer", "words")

    def __init__(self, words: Sequence[str | bytes], answer: asyncio.Future[Any] | None) -> None:
        self.words, self.answer = words, answer

    def settle(self, answer: object) -> None:
        if self.answer is not None and not self.answer.done():
            if isinstance(answer, Exception):
                self.answer.set_exception(answer)
            else:
                self.answer.set_result(answer)


class RedisCommands:
    """Runs commands while `run()` does. A command is never sent twice."""

    def __init__(self, url: str) -> None:
        self._pipeline = Pipeline(RedisAddress.parse(url))
        self._waiting: deque[_Waiting] = deque()
        self._is_due = asyncio.Event()
        self._refused: set[Word] = set()  # the commands that nobody waits for, and that failed last
        self.is_away = False

    async def __call__(self, *words: Word, within_seconds: float = CALL_SECONDS) -> Any:
        """The answer to a command, as redis-py reads it, texts as bytes; one given up in time is not sent.

        Raises:
            CommandsAway: Redis is away, or too many wait for it.
            TimeoutError: no answer in time; it may be done yet.
            ResponseError: redis-py's, what Redis says is wrong, or says in a way that redis-py cannot read.
            TypeError, UnicodeEncodeError: a word is none.
        """
        checked = _checked(words)
        if self.is_away or len(self._waiting) >= MOST_WAITING:
            raise CommandsAway
        answer = asyncio.get_running_loop().create_future()
        self._put(_Waiting(checked, answer))
        async with asyncio.timeout(within_seconds):
            return await answer

    def tell(self, *words: Word) -> None:
        """As a call whose answer nobody waits for. It is forgotten where Redis goes away first."""
        checked = _checked(words)
        if len(self._waiting) < 2 * MOST_WAITING:
            self._put(_Waiting(checked, None))

    def _put(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._is_due.set()

    async def run(self) -> NoReturn:
        """Carry out what waits, until cancelled; then still, as far as it goes, what nobody waits for."""
        try:
            await self._is_due.wait()  # no connection before it is needed
            while True:
                await self._carry_out()
                if not self._waiting:
                    self._is_due.clear()
                    await wait_at_most(AWAY_SECONDS if self.is_away else PING_SECONDS, self._is_due.wait())
                    if not self._waiting:
                        self._put(_Waiting(("PING",), None))
        finally:
            self.is_away = True
            await self._leave()

    async def _leave(self) -> None:
        try:
            for waiting in self._waiting:
                waiting.settle(CommandsAway("the node stops"))
            batch = [waiting for waiting in self._waiting if waiting.answer is None][:MOST_AT_ONCE]
            self._waiting.clear()
            if batch:
                with suppress(OSError):  # it is away: nobody waits for these
                    await wait_at_most(0.5, self._call(batch))
        finally:
            await self._pipeline.close()

    async def _carry_out(self) -> None:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < MOST_AT_ONCE:
            waiting = self._waiting.popleft()
            if waiting.answer is None or not waiting.answer.done():
                batch.append(waiting)
        if not batch:
            return
        try:
            answers: Iterable[object] = await call_within(CALL_SECONDS, self._call(batch))
        except OSError as error:  # TimeoutError is one
            self._pipeline.drop()
            self._away(batch, error)
            return
        except BaseException:
            for waiting in batch:
                waiting.settle(CommandsAway("the node stops"))
            raise
        if self.is_away:
            self.is_away = False
            logger.warning("Redis is back: commands are carried out")
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.settle(answer)
            if waiting.answer is None:
                self._note(waiting.words[0], answer)

    def _note(self, command: Word, answer: object) -> None:
        """Nobody hears the answer: that it is an error is told to operators, once until it is none."""
        if not isinstance(answer, ResponseError):
            self._refused.discard(command)
        elif command not in self._refused:
            self._refused.add(command)
            extra = {"command": command, "why": in_words(answer)}
            logger.warning("a command to Redis failed; more of it are not told", extra=extra)

    async def _call(self, batch: Sequence[_Waiting]) -> list[Any]:
        replies = await self._pipeline.replies([waiting.words for waiting in batch])
        return [_read(waiting.words[0], reply) for waiting, reply in zip(batch, replies, strict=True)]

    def _away(self, batch: Sequence[_Waiting], error: Exception) -> None:
        if not self.is_away:
            logger.warning("Redis is away: commands are refused", extra={"why": in_words(error)})
        self.is_away = True
        for waiting in (*batch, *self._waiting):
            waiting.settle(CommandsAway(in_words(error)))
        self._waiting.clear()


def _checked(words: Sequence[Word]) -> list[str | bytes]:
    """The words as they are sent; one that cannot be is its caller's mistake."""
    for word in words:
        if type(word) not in (str, bytes, int):
            raise TypeError(f"a word of a command is a text, bytes or a number; got {type(word).__name__}")
    command, *others = words
    return [str(command), *(word if isinstance(word, bytes) else str(word).encode() for word in others)]


def _read(command: str | bytes, reply: object) -> object:
    """A reply as redis-py reads it. Raises ConnectionError where Redis takes no commands at all."""
    if isinstance(reply, Exception):
        if str(reply).startswith(SAYS_AWAY):
            raise ConnectionError(str(reply))
        return ResponseError(str(reply))
    read = _CALLBACKS.get(command)
    try:
        return reply if read is None else read(reply)
    except Exception as error:  # noqa: BLE001  its reader knows one shape: what fails is this caller's call
        return ResponseError(f"redis-py cannot read such a reply: {type(error).__name__}")
