"""Events for other services: what one is, and which of those that wait may be sent next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from proxy.core.bridging.bridged import is_encodable
from proxy.core.bridging.subjects import written

MAX_SUBJECT_CHARS = 512
MAX_KEY_CHARS = 255
MAX_BODY_BYTES = 1 << 20

_WORD = r"[^\x00-\x20\x7f.*>#\ud800-\udfff]+"
_SUBJECT = re.compile(rf"{_WORD}(\.{_WORD})*")
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event. Those of one `key` are sent in the order in which they were written.

    `subject` is where it is published: tokens with dots between, a subject of NATS and a routing key of
    RabbitMQ. `body` is JSON.

    Raises:
        ValueError: the subject or the key is none.
    """

    subject: str
    body: Mapping[str, Any]
    key: str

    def __post_init__(self) -> None:
        if len(self.subject) > MAX_SUBJECT_CHARS or not _SUBJECT.fullmatch(self.subject):
            raise ValueError(
                f"a subject is tokens with dots between, without blanks and wildcards: {self.subject!r}"
            )
        if not 0 < len(self.key) <= MAX_KEY_CHARS or "\0" in self.key or not is_encodable(self.key):
            raise ValueError(f"a key has 1 to {MAX_KEY_CHARS} characters")

    def text(self) -> str:
        """The body as it is sent, in ASCII. Raises ValueError: it is no JSON, or has too many bytes."""
        try:
            text = _ENCODER.encode(self.body)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"a body must be JSON: {error}") from error
        if len(text) > MAX_BODY_BYTES:
            raise ValueError(f"a body has at most {MAX_BODY_BYTES} bytes; this one has {len(text)}")
        return text


@dataclass(frozen=True, slots=True)
class Row:
    """An event as its row has it. `message_id` is its own alone, also when ids begin anew."""

    id: int
    subject: str
    key: str
    body: str
    message_id: str


def subject_token(name: str) -> str:
    """`name` as one token of a subject: `%` and two hex digits stand for what none may hold."""
    return written(name).replace("#", "%23")


class Waiting(NamedTuple):
    """A row that waits, without what it says."""

    id: int
    key: str
    size_bytes: int


def next_batch(
    waiting: Iterable[Waiting], *, most_rows: int, most_bytes: int, most_of_a_key: int
) -> list[int]:
    """Which of `waiting`, which are in the order of their ids, to send together; one at least.

    Of each key the first ones, and no more than so many: one that has a lot to say leaves room for others.
    """
    ids: list[int] = []
    of_key: dict[str, int] = {}
    total_bytes = 0
    for row in waiting:
        if of_key.get(row.key, 0) == most_of_a_key:
            continue
        total_bytes += row.size_bytes
        if len(ids) == most_rows or (ids and total_bytes > most_bytes):
            break
        of_key[row.key] = of_key.get(row.key, 0) + 1
        ids.append(row.id)
    return ids


class HeldKeys:
    """Keys whose first event was not taken for now: each is left alone for a while that doubles."""

    def __init__(self, *, first_seconds: float, longest_seconds: float, most: int) -> None:
        self._first_seconds, self._longest_seconds, self._most = first_seconds, longest_seconds, most
        self._held: dict[str, tuple[float, float]] = {}  # until when, and how long that was

    def hold(self, key: str, *, now: float) -> None:
        _, before = self._held.pop(key, (0.0, 0.0))
        seconds = min(before * 2 or self._first_seconds, self._longest_seconds)
        self._held[key] = now + seconds, seconds
        if len(self._held) > self._most:
            self._held.pop(next(iter(self._held)))

    @property
    def is_full(self) -> bool:
        """Whether there may be more of them than are left alone."""
        return len(self._held) >= self._most

    def let_go(self, key: str) -> None:
        self._held.pop(key, None)

    def at(self, now: float) -> list[str]:
        """Those that are left alone now."""
        return [key for key, (until, _) in self._held.items() if until > now]
