"""What is asked of the nodes that listen to a topic, and answered, over Redis: commands out, replies in.

Who asks publishes a signal that says where answers are wanted: a stream in Redis under a key of its own, soon
gone. Each node that hears it adds its answer. PUBLISH told how many nodes those are, so that one waits for as
many answers, a moment at most. Streams can be read twice: who repeats what was published once already (with
the same idempotency key) reads what the nodes answered then, on whichever node either happened.

No client library is known here: the layer carries out the commands, awaited or not.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.core.history import History

ANSWERS, ONCE, HISTORY = "gateway:answers:", "gateway:once:", "gateway:history:"
SEND_SECONDS = 2.0
# One waits this long for nodes that are frozen, or of a release before, which does not answer.
ANSWER_SECONDS = 1.0
KEPT_SECONDS = 10
ONCE_SECONDS = 300
# Redis carries a call out in one piece, and others wait for it meanwhile.
_AT_ONCE = 100
# For so long nobody waits again for those that were silent; on so many channels at most.
SILENT_SECONDS, _MOST_SILENCES = 5.0, 1_000

Command = tuple[str, tuple[Any, ...]]


class LayerAway(OSError):
    """The channel layer did not take a message: who should have heard it may have, or may not."""


class NotLoaded(Exception):
    """Redis does not know the script, or no longer."""


class Script:
    """One that Redis carries out in one piece: the text of some files beside this one."""

    def __init__(self, *names: str) -> None:
        self._text = "".join(Path(__file__).with_name(name).read_text() for name in names)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(self, keys: Sequence[str], *words: Any) -> Generator[Command, Any, Any]:
        """Its reply. Yields commands, as methods of redis-py's clients and their arguments, and is sent the
        replies; or has NotLoaded and LayerAway thrown in, the latter of which it raises."""
        try:
            return (yield "evalsha", (self._sha, len(keys), *keys, *words))
        except NotLoaded:
            return (yield "eval", (self._text, len(keys), *keys, *words))


PUBLISH = Script("position.lua", "remember.lua", "publish.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A signal whose hearers answer, and which its topic remembers if it has a `history`.

    `once` names what is asked no second time within five minutes, by any process: what the first one's
    hearers answered is then the answer. "" is asked every time. Unless it `is_patient`, it does not wait for
    as many nodes as were silent a few seconds ago.
    """

    group: str
    signal: Mapping[str, Any]
    once: str = ""
    history: History | None = None
    is_patient: bool = True


@dataclass(frozen=True, slots=True)
class Answers:
    """What was `said`, by a node each; so many that listen have been `silent`."""

    said: tuple[str, ...] = ()
    silent: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the answers to one question go: under a number, in the stream at `key`, for some seconds."""

    key: str
    number: int
    seconds: int

    def words(self) -> dict[str, Any]:
        """As a field of a signal."""
        return {"key": self.key, "number": self.number, "seconds": self.seconds}

    @classmethod
    def of(cls, signal: Mapping[str, Any]) -> Place | None:
        """Where the signal wants answers; None where it wants none, or says so in no way that we know."""
        match signal.get("ask"):
            case {"key": str(key), "number": int(number), "seconds": int(seconds)} if key.startswith(ANSWERS):
                return cls(key, number, min(seconds, ONCE_SECONDS))
        return None


def places(questions: Sequence[Question]) -> list[Place]:
    """One for each question: those that are asked once have a stream each, which others find again."""
    together = f"{ANSWERS}{uuid.uuid4().hex}"
    return [
        Place(f"{ANSWERS}{question.once}", 0, ONCE_SECONDS)
        if question.once
        else Place(together, number, KEPT_SECONDS)
        for number, question in enumerate(questions)
    ]


# As a script gets it: the key of a topic's history, its events, seconds and bytes.
Memory = tuple[str, int | str, int | str, int | str]


def memory_of(group: str, history: History | None) -> Memory:
    """Where the topic of that group remembers its events."""
    if history is None:
        return "", "", "", ""
    return f"{HISTORY}{group}", history.events, history.seconds, history.bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A question as Redis gets it."""

    channel: str
    message: bytes
    once: str
    place: Place
    memory: Memory
    is_patient: bool = True

    def words(self) -> tuple[Any, ...]:
        return self.channel, self.message, self.once and f"{ONCE}{self.once}", ONCE_SECONDS, *self.memory


class Silences:
    """How many of those that listen to a channel were silent a moment ago: frozen nodes, dead ones of which
    Redis does not know it yet, somebody who only listens. Of one process, whatever its loops and threads.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}

    def of(self, channel: str) -> int:
        """How many there is no use to wait for."""
        nodes, until = self._known.get(channel, (0, 0.0))
        return nodes if time.monotonic() < until else 0

    def note(self, channel: str, nodes: int, *, is_sure: bool) -> None:
        """So many have been silent; `is_sure`: after all the time that they have."""
        if is_sure and nodes:
            if len(self._known) >= _MOST_SILENCES:
                self._known.clear()
            self._known[channel] = nodes, time.monotonic() + SILENT_SECONDS
        elif nodes < self.of(channel):
            self._known.pop(channel, None)


def conversation(sent: Sequence[Sent], silences: Silences) -> Generator[Command, Any, list[Answers]]:
    """Publish them, and gather the answers. It yields, and is told, as `Script.run`.

    Raises:
        LayerAway: while it was published. Where it comes later, whoever has not answered is silent.
    """
    reached: list[int] = []
    for first in range(0, len(sent), _AT_ONCE):
        words = (word for each in sent[first : first + _AT_ONCE] for word in each.words())
        reached += yield from PUBLISH.run((), *words)
    gathered, spared = Gathered([each.place for each in sent], reached), dict[str, int]()
    for each, nodes in zip(sent, reached, strict=True):
        if not each.is_patient and (silent := min(silences.of(each.channel), nodes)):
            spared[each.place.key] = spared.get(each.place.key, 0) + silent
    has_waited = yield from _gathering(gathered, spared)
    answers = gathered.answers()
    for each, said in zip(sent, answers, strict=True):
        if not each.is_patient:
            silences.note(each.channel, said.silent, is_sure=has_waited)
    return answers


def _gathering(gathered: Gathered, spared: Mapping[str, int]) -> Generator[Command, Any, bool]:
    """Read what is answered, a moment at most, not waiting for as many as are `spared` of each stream.
    Whether the time is over.

    Where not all streams can be read at once, it waits for the first of them. The others' answers are there
    by then, as those of who was spared may be, and are read without waiting.
    """
    deadline, is_over = time.monotonic() + ANSWER_SECONDS, False
    try:
        while not is_over and (
            keys := [key for key, lacks in gathered.missing.items() if lacks > spared.get(key, 0)]
        ):
            left = deadline - time.monotonic()
            yield from _reading(gathered, keys[:_AT_ONCE], max(1, int(left * 1000)))
            is_over = time.monotonic() >= deadline
        keys = [*gathered.missing]
        for first in range(0, len(keys), _AT_ONCE):
            yield from _reading(gathered, keys[first : first + _AT_ONCE], None)
    except LayerAway:
        return False
    return is_over


def _reading(gathered: Gathered, keys: Sequence[str], wait_ms: int | None) -> Generator[Command, Any, None]:
    for key, entries in (yield "xread", (gathered.positions(keys), _AT_ONCE, wait_ms)):
        for position, fields in entries:
            gathered.take(key.decode(), fields, position=position)


class Gathered:
    """The answers to some questions, as they come in."""

    def __init__(self, asked: Sequence[Place], reached: Sequence[int], *, begin: Any = "0-0") -> None:
        """`reached` are the nodes that heard each question; streams are read from `begin` on."""
        self._asked, self._reached = asked, reached
        self._said: dict[tuple[str, int], list[str]] = {}
        self._positions: dict[str, Any] = {}
        self.missing: dict[str, int] = {}  # how many answers lack in each stream where some do
        for place, nodes in zip(asked, reached, strict=True):
            where = key, _ = place.key, place.number
            if nodes and where not in self._said:  # asked twice with one key, it is answered once
                self.missing[key] = self.missing.get(key, 0) + nodes
            self._said[where] = []
            self._positions[key] = begin

    def positions(self, keys: Iterable[str]) -> dict[str, Any]:
        """Up to where each of those streams has been read."""
        return {key: self._positions[key] for key in keys}

    def take(self, key: str, fields: Mapping[Any, Any], *, position: Any) -> None:
        """What one node has to say: by the number of each question, in text or in bytes."""
        self._positions[key] = position
        for number, said in fields.items():
            answers = self._said.get((key, int(number)))
            if answers is not None:
                answers.append(said.decode() if isinstance(said, bytes) else said)
                self.missing[key] = self.missing.get(key, 0) - 1
                if self.missing[key] <= 0:
                    del self.missing[key]

    def answers(self) -> list[Answers]:
        """For each question, what there is of them."""
        found = (self._said[place.key, place.number] for place in self._asked)
        return [
            Answers(tuple(said), max(0, nodes - len(said)))
            for said, nodes in zip(found, self._reached, strict=True)
        ]
