"""What nodes share in Redis beside Pub/Sub, by scripts and streams: for async code and for other."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from proxy.cluster.histories import Asked, recovering
from proxy.cluster.lines import Lines
from proxy.cluster.questions import (
    SEND_SECONDS,
    Answers,
    Command,
    LayerAway,
    NotLoaded,
    Place,
    Question,
    Sent,
    Silences,
    conversation,
    memory_of,
    places,
)
from proxy.cluster.scrolls import AT_ONCE, BEGINNING, FIELD, Entry, entries_of
from proxy.cluster.shipments import Shipment, ending_turn, shipping, taking_turn
from proxy.core.history import Found, Position
from proxy.core.wording import in_words
from proxy.engine.calls import without_waiting
from proxy.engine.redis.pipeline import CommandRefused

log = logging.getLogger(__name__)

# Who nudges has its own work to do: this is the longest that it waits, and how often it does at most.
NUDGE_SECONDS = 0.1
_MUTE_SECONDS = 5.0
# GETDEL is one of Redis 6.2.
_TAKE = "local kept = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return kept"
# One call: what expires only if another call comes through may stay for good.
_APPEND = (
    "redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', ARGV[2], ARGV[3]) "
    "redis.call('EXPIRE', KEYS[1], ARGV[4])"
)
T = TypeVar("T")


class RedisStore:
    """The store (proxy/cluster/store.py) of the channel layer in Redis. Its members hear one another by that
    layer's channels, as which signals are published.
    """

    def __init__(
        self,
        host: Mapping[str, Any],
        *,
        serialize: Callable[[Mapping[str, Any]], bytes],
        lines: Callable[[], Lines],
    ) -> None:
        """`lines` are those of the event loop that runs."""
        self._host, self._serialize, self._lines = host, serialize, lines
        self._blocking: Redis | None = None
        self._hasty: Redis | None = None
        self._mute_until = 0.0
        self._silences = Silences()

    async def ask(self, questions: Sequence[Question]) -> list[Answers]:
        return await _talk(conversation(self._sent(questions), self._silences), self._carry_out)

    def ask_sync(self, questions: Sequence[Question]) -> list[Answers]:
        """Over connections that stay open between calls."""
        talk = conversation(self._sent(questions), self._silences)
        return without_waiting(_talk(talk, self._carry_out_blocking))

    async def answer(self, said: Mapping[Place, str]) -> None:
        streams: dict[tuple[str, int], list[str]] = defaultdict(list)
        for place, text in said.items():
            streams[place.key, place.seconds] += (str(place.number), text)
        commands: list[Sequence[str]] = []
        for (key, seconds), fields in streams.items():
            commands += (("XADD", key, "*", *fields), ("EXPIRE", key, str(seconds)))
        with told_as_away():
            await self._lines().answer(commands)

    async def take_turn(self, who: str) -> bool:
        return await _talk(taking_turn(who), self._carry_out)

    async def end_turn(self, who: str) -> None:
        await _talk(ending_turn(who), self._carry_out)

    async def ship(self, shipments: Sequence[Shipment], *, who: str) -> bool:
        sent = [
            (
                _channel(each.group),
                self._serialize(each.signal),
                each.key,
                *memory_of(each.group, each.history),
            )
            for each in shipments
        ]
        return await _talk(shipping(sent, who), self._carry_out)

    async def recover(self, asked: Sequence[Asked], *, since: Position | None, most_bytes: int) -> Found:
        talk = recovering(asked, since=since, most_bytes=most_bytes)
        return await _talk(talk, partial(self._carry_out, is_large=True))

    def keep_sync(self, key: str, value: bytes, *, seconds: int) -> None:
        without_waiting(self._carry_out_blocking(("set", (key, value, seconds))))

    async def take(self, key: str) -> bytes | None:
        taken: bytes | None = await self._carry_out(("eval", (_TAKE, 1, key)))
        return taken

    async def append(self, key: str, text: str, *, most: int, seconds: int) -> None:
        await self._carry_out(("eval", (_APPEND, 1, key, most, FIELD, text, seconds)))

    async def read(self, key: str, behind: str, *, wait_seconds: float) -> list[Entry]:
        wait_ms = int(wait_seconds * 1000) or None
        return entries_of(await self._carry_out(("xread", ({key: behind}, AT_ONCE, wait_ms))))

    def read_sync(self, key: str) -> list[Entry]:
        return entries_of(without_waiting(self._carry_out_blocking(("xread", ({key: BEGINNING},)))))

    def nudge_sync(self, group: str, signal: Mapping[str, Any]) -> None:
        if time.monotonic() < self._mute_until:
            return
        if self._hasty is None:
            self._hasty = self._client(NUDGE_SECONDS, socket_connect_timeout=NUDGE_SECONDS)
        try:
            self._hasty.publish(_channel(group), self._serialize(signal))
        except (RedisError, OSError) as error:
            self._mute_until = time.monotonic() + _MUTE_SECONDS
            log.warning("Redis takes no nudge; for some seconds it gets none", extra={"why": in_words(error)})

    async def _carry_out(self, command: Command, *, is_large: bool = False) -> Any:
        name, words = command
        with told_as_away():
            if name == "xread":
                return await self._lines().read(*words)
            return await self._lines().run_script(name, *words, is_large=is_large)

    async def _carry_out_blocking(self, command: Command) -> Any:
        if self._blocking is None:
            self._blocking = self._client(SEND_SECONDS)
        name, words = command
        with told_as_away():
            return getattr(self._blocking, name)(*words)

    def _client(self, seconds: float, **more: Any) -> Redis:
        """One for code that is not async, which waits so long for a reply."""
        options = {**self._host, "socket_timeout": seconds, "retry": Retry(NoBackoff(), 0), **more}
        return Redis.from_url(options.pop("address"), **options)

    def _sent(self, questions: Sequence[Question]) -> list[Sent]:
        sent = []
        for question, place in zip(questions, places(questions), strict=True):
            message = self._serialize({**question.signal, "ask": place.words()})
            memory = memory_of(question.group, question.history)
            channel = _channel(question.group)
            sent.append(Sent(channel, message, question.once, place, memory, question.is_patient))
        return sent


async def _talk(talk: Generator[Command, Any, T], carry_out: Callable[[Command], Awaitable[Any]]) -> T:
    """What a dialogue comes to whose commands are carried out so."""
    try:
        command = next(talk)
        while True:
            try:
                command = talk.send(await carry_out(command))
            except (LayerAway, NotLoaded) as error:
                command = talk.throw(error)
    except StopIteration as end:
        said: T = end.value
        return said


def _channel(group: str) -> str:
    return f"gateway__group__{group}"


@contextmanager
def told_as_away() -> Generator[None]:
    """What a client raises, in the words of `conversation`."""
    try:
        yield
    except NoScriptError:
        raise NotLoaded from None
    except CommandRefused as error:
        if str(error).startswith("NOSCRIPT"):
            raise NotLoaded from None
        raise LayerAway(f"Redis takes no command: {error}") from error
    except LayerAway:
        raise
    except (TimeoutError, RedisTimeout):
        raise LayerAway(f"Redis has not answered in {SEND_SECONDS:g} s") from None
    except (RedisError, OSError) as error:
        raise LayerAway(f"Redis is away: {error or type(error).__name__}") from error
