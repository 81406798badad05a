"""How a call is carried out: what is sent when, what is repeated, and what has failed for good. No I/O.

A dialogue is a generator of steps: it yields what its shell is to do next, and is sent what came of it.
"""

from __future__ import annotations

import email.utils
import json
import logging
import random
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sluicegate_client.calls import Call
from sluicegate_client.errors import (
    BadRequest,
    GatewayAway,
    KeyRefused,
    NotAllowed,
    SluicegateError,
    UnexpectedAnswer,
)

log = logging.getLogger("sluicegate_client")
T = TypeVar("T")

# The gateway knows an idempotency key for 300 seconds: a last try has to come within.
MAX_DEADLINE_SECONDS = 240.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
_PASSING = frozenset({408, 429, 502, 503, 504})
_BLAME = {400: BadRequest, 401: KeyRefused, 403: NotAllowed}
_SHOWN_CHARS = 500
_LOOK = "Look at its address and release."


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a call may take with all its tries, and one try of it."""

    deadline_seconds: float = 30.0
    try_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.deadline_seconds <= MAX_DEADLINE_SECONDS:
            raise BadRequest(
                f"deadline_seconds is above 0 and at most {MAX_DEADLINE_SECONDS:g}, so that a retry comes "
                f"while the gateway still knows its idempotency key; got {self.deadline_seconds!r}."
            )
        if not self.try_seconds > 0:
            raise BadRequest(f"try_seconds is above 0, got {self.try_seconds!r}.")


@dataclass(frozen=True, slots=True)
class Send:
    """Send `call`, and have its answer in `try_seconds`, and by `deadline` (of the monotonic clock)."""

    call: Call[Any]
    try_seconds: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What HTTP answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why none came. `was_sent`: some of the request went out, so that it may have been carried out."""

    why: str
    was_sent: bool


Step = Send | Pause
Reply = Answer | NoAnswer
Dialogue = Generator[Step, Reply, T]


def carry_out(call: Call[T], patience: Patience) -> Dialogue[T]:
    """What `call` is answered. Raises SluicegateError."""
    return (yield from _until(time.monotonic() + patience.deadline_seconds, call, patience))


def carry_out_all(calls: Sequence[Call[list[T]]], patience: Patience) -> Dialogue[list[T]]:
    """What all are answered, one after the other under one deadline.

    Raises SluicegateError, with what the ones before were answered.
    """
    until = time.monotonic() + patience.deadline_seconds
    done: list[Any] = []
    for call in calls:
        try:
            done += yield from _until(until, call, patience)
        except SluicegateError as error:
            error.delivered = tuple(done)
            raise
    return done


def _until(deadline: float, call: Call[T], patience: Patience) -> Dialogue[T]:
    pause_seconds, may_have_happened = FIRST_PAUSE_SECONDS, False
    while True:
        reply = yield Send(call, patience.try_seconds, deadline)
        if isinstance(reply, Answer) and reply.status == 200:
            return _value(call, reply)
        failure = _refused(call, reply) if isinstance(reply, Answer) else _unanswered(call, reply)
        may_have_happened = failure.may_have_happened = failure.may_have_happened or may_have_happened
        wait_seconds = (failure.retry_after_seconds or 0.0) + pause_seconds * random.uniform(0.5, 1)  # noqa: S311
        is_final = may_have_happened and not call.is_repeatable
        if not isinstance(failure, GatewayAway) or is_final or time.monotonic() + wait_seconds >= deadline:
            raise failure
        log.warning("%s Trying again in %.1f s.", failure.args[0], wait_seconds)
        yield Pause(wait_seconds)
        pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def _value(call: Call[T], answer: Answer) -> T:
    try:
        return call.read(json.loads(answer.body))
    except (LookupError, TypeError, ValueError, RecursionError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"[:_SHOWN_CHARS]
    raise UnexpectedAnswer(
        f"{call.name}: this is no gateway that this package knows ({why}). {_LOOK}",
        status=answer.status,
        may_have_happened=call.method == "POST",
    )


def _unanswered(call: Call[Any], reply: NoAnswer) -> GatewayAway:
    return GatewayAway(
        f"{call.name}: no answer from the gateway: {_sentence(reply.why)}",
        may_have_happened=reply.was_sent and call.method == "POST",
    )


def _refused(call: Call[Any], answer: Answer) -> SluicegateError:
    code, message = _told(answer)
    if answer.status in _PASSING:
        # Only a gateway says that nothing was done; a proxy before it does not know.
        nothing_done = answer.status in {408, 429} or code not in {None, "redis_away", "not_sent"}
        return GatewayAway(
            f"{call.name}: the gateway cannot do it now: {answer.status} {message}",
            status=answer.status,
            code=code,
            retry_after_seconds=_retry_after_seconds(answer.headers.get("retry-after", "")),
            may_have_happened=call.method == "POST" and not nothing_done,
        )
    kind = _BLAME.get(answer.status, UnexpectedAnswer) if code is not None else UnexpectedAnswer
    return kind(
        f"{call.name}: {answer.status} {_sentence(message)} {_advice(kind, answer)}",
        status=answer.status,
        code=code,
        may_have_happened=call.method == "POST" and answer.status >= 500,
    )


def _told(answer: Answer) -> tuple[str | None, str]:
    """The gateway's code and words; None and the beginning of the body, where it is another's."""
    try:
        told = json.loads(answer.body)
        return str(told["code"]), str(told["message"])[:_SHOWN_CHARS]
    except (LookupError, TypeError, ValueError, RecursionError):
        return None, ascii(answer.body[:100].decode(errors="replace"))


def _sentence(words: str) -> str:
    """With one full stop: some of those whose words stand here write it, and some do not."""
    return f"{words.rstrip('.')}."


def _advice(kind: type[SluicegateError], answer: Answer) -> str:
    if kind is BadRequest:
        return "Change what is asked: it would fail again."
    if kind is KeyRefused:
        return "Give this program a valid API key (manage.py issue_api_key)."
    if kind is NotAllowed:
        return "Who runs the gateway can issue a key that may (manage.py issue_api_key)."
    if 300 <= answer.status < 400:
        return "Redirects are not followed, or the key would go with them: give the address that it leads to."
    if answer.status >= 500:
        return "The gateway failed, or a proxy before it: its log says why."
    return f"This is no gateway that this package knows. {_LOOK}"


def _retry_after_seconds(text: str) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a date; None where it is neither."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
