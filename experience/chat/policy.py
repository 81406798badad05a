"""What the gateway makes of each message of a chat: it passes as it came or masked, or an error is told."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from experience.chat import counts
from experience.chat.filters import ContentFilter, ContentRefused
from experience.chat.messages import (
    MOST_TEXT_CHARACTERS,
    Error,
    InvalidMessage,
    MessageSend,
    decode_client,
    decode_service,
    encode,
    type_of,
)
from proxy.api import DROP, FORWARD, Bucket, Close, LinkLog, Policy, Rate, Subject, Verdict, child

TOO_MANY_ERRORS = Verdict(forward=False, close=Close(1008, "too many invalid messages"))
BINARY = "binary"
ERROR_RATE = Rate(30, 60)
# Lines of one process about what its services say wrongly; whatever they do, a log stays readable.
LOGGED = Rate(10, 60)


class ServiceLog:
    """What services say wrongly, in few lines."""

    def __init__(self) -> None:
        self._lines, self._left_out = Bucket(LOGGED), 0

    def tell(self, log: LinkLog, mistake: InvalidMessage) -> None:
        """In a line of that link, with how many others there would have been since the last."""
        if self._lines.take(time.monotonic()):
            self._left_out += 1
            return
        told = {"code": mistake.code, "why": mistake.message, "left_out": self._left_out}
        log.warning("the chat service said what is no message", extra=told)
        self._left_out = 0


_service_log = ServiceLog()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRules:
    """What the links of a route are held to. `error_rate`: a link that makes more mistakes is closed.

    `content_filter` None: texts are not looked into.
    """

    most_characters: int = MOST_TEXT_CHARACTERS
    error_rate: Rate = ERROR_RATE
    content_filter: ContentFilter | None = None

    def policy(self, subject: Subject) -> ChatPolicy:
        """For `Route.policy`."""
        return ChatPolicy(subject, self)


class ChatPolicy(Policy):
    """Holds the two ends of one link to the chat's messages."""

    __slots__ = ("_errors", "_log", "_rules", "_user_id")

    def __init__(self, subject: Subject, rules: ChatRules) -> None:
        self._rules, self._log, self._user_id = rules, subject.log, subject.principal.user_id
        self._errors = Bucket(rules.error_rate)

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        if not is_text:
            counts.count(counts.IN, BINARY, len(payload))
            return FORWARD
        try:
            message = decode_client(payload, most_characters=self._rules.most_characters)
        except InvalidMessage as mistake:
            return self._answered(mistake)
        verdict = FORWARD
        if type(message) is MessageSend and self._rules.content_filter is not None:
            verdict = self._filtered(message, self._rules.content_filter)
        if verdict.forward:
            counts.count(counts.IN, type_of(message), len(payload))
        return verdict

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        if not is_text:
            counts.count(counts.OUT, BINARY, len(payload))
            return FORWARD
        try:
            message = decode_service(payload)
        except InvalidMessage as mistake:
            child(counts.INVALID_TOTAL, counts.OUT, mistake.code).inc()
            _service_log.tell(self._log, mistake)
            return DROP
        counts.count(counts.OUT, type_of(message), len(payload))
        return FORWARD

    def _answered(self, mistake: InvalidMessage) -> Verdict:
        child(counts.INVALID_TOTAL, counts.IN, mistake.code).inc()
        if self._errors.take(time.monotonic()):
            self._log.warning("a client of the chat makes too many mistakes", extra={"code": mistake.code})
            return TOO_MANY_ERRORS
        told = Error(
            mistake.code,
            mistake.message,
            UNSET if mistake.idempotency_key is None else mistake.idempotency_key,
            mistake.field or UNSET,
        )
        return Verdict(forward=False, reply=encode(told))

    def _filtered(self, message: MessageSend, content_filter: ContentFilter) -> Verdict:
        try:
            text = content_filter(message, self._user_id)
        except ContentRefused as refused:
            child(counts.FILTERED_TOTAL, "refused").inc()
            return Verdict(
                forward=False, reply=encode(Error("content_refused", str(refused), message.idempotency_key))
            )
        if text == message.text:
            return FORWARD
        child(counts.FILTERED_TOTAL, "masked").inc()
        changed = encode(msgspec.structs.replace(message, text=text)).encode()
        decode_client(changed, most_characters=len(text))  # a filter that makes no message of it has failed
        return Verdict(forward=True, payload=changed)
