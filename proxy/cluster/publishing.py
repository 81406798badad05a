"""Publishing to topics: from Python, from a shell, on any node that shares the channel layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.asyncio import async_unsafe

from proxy.cluster import signals
from proxy.cluster.asking import ask, ask_sync, question
from proxy.cluster.questions import Answers, Question
from proxy.core.history import SINCE_BYTES
from proxy.core.human import is_printable
from proxy.core.routes import SINCE
from proxy.core.topics import check_topic
from proxy.registry import history_of, topic_kinds

MAX_IDEMPOTENCY_CHARS = 200
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode_event(event: Mapping[str, Any], *, position_bytes: int = 0) -> str:
    """`event` as the one JSON text that clients read, but for its position, of so many bytes.

    Raises:
        ValueError: it is no object with a text `type`, is no JSON, claims to be the gateway itself, or has
            more than MAX_EVENT_BYTES.
    """
    kind = event.get("type") if isinstance(event, Mapping) else None
    if not isinstance(kind, str) or not kind:
        raise ValueError("an event is an object with a text 'type'")
    if kind.startswith("gateway."):
        raise ValueError("types that begin with 'gateway.' are the gateway's own")
    try:
        text = _ENCODER.encode(event)
        size_bytes = len(text.encode())  # half a surrogate pair is no text, and would only fail on the way
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"an event must be JSON: {error}") from error
    most_bytes = settings.MAX_EVENT_BYTES - position_bytes
    if size_bytes > most_bytes:
        raise ValueError(f"an event has at most {most_bytes} bytes; this one has {size_bytes}")
    return text


def _text_for(topic: str, event: Mapping[str, Any]) -> str:
    """`encode_event` for a topic, which may have a history and gives its events a position then."""
    if history_of(topic) is None:
        return encode_event(event)
    text = encode_event(event, position_bytes=SINCE_BYTES)
    if SINCE in event:
        raise ValueError(f"an event of {topic!r} is given its {SINCE!r} by the gateway")
    return text


@dataclass(frozen=True, slots=True)
class Delivered:
    """Who took an event: so many `links`, on so many `nodes`. Both 0: nobody was there.

    `silent` nodes that listen to the topic have not said in a second whether their links took it, or had not
    said it of another event some seconds ago, and were not waited for.
    """

    nodes: int
    links: int
    silent: int = 0

    @classmethod
    def of(cls, answers: Answers) -> Delivered:
        links = [int(said) for said in answers.said]
        return cls(sum(count > 0 for count in links), sum(links), answers.silent)


@dataclass(frozen=True, slots=True)
class Publication:
    """One event for one topic. With an `idempotency_key` that a publication of the last five minutes had, it
    is not published, and answered as that one was. Keys of one `publisher` are no other's; "" is this code's.
    """

    topic: str
    event: Mapping[str, Any]
    idempotency_key: str | None = None
    publisher: str = ""

    def question(self) -> Question:
        """What nodes are asked. Raises ValueError: topic, event or key is not valid."""
        signal = signals.event(_text_for(self.topic, self.event))
        unique, history = once(self.publisher, self.idempotency_key), history_of(self.topic)
        return question(self.topic, signal, once=unique, history=history, is_patient=False)


def once(publisher: str, key: str | None) -> str:
    """One text of the same length for each publisher and key; "" for None. Raises ValueError for no key."""
    if key is None:
        return ""
    if not isinstance(key, str) or not 0 < len(key) <= MAX_IDEMPOTENCY_CHARS or not is_printable(key):
        raise ValueError(f"an idempotency key is a printable text of 1 to {MAX_IDEMPOTENCY_CHARS} characters")
    return hashlib.sha256(json.dumps([publisher, key]).encode()).hexdigest()


@async_unsafe("In async code it is `await apublish(…)`.")
def publish(topic: str, event: Mapping[str, Any], *, idempotency_key: str | None = None) -> Delivered:
    """Publish `event` to everyone who hears `topic`, now. Events of one publisher arrive in order.

    Delivery is at most once: a client that is away, or a Redis that is, misses it. Waits for the nodes to say
    how many links took it, a second at most; some seconds more where Redis freezes meanwhile.

    Raises:
        ValueError: the topic, the event or the key is not valid.
        LayerAway: Redis is away, or does not answer in two seconds: the event may have gone out, or not.
        SynchronousOnlyOperation: this is async code, which would wait here as a whole.
    """
    (delivered,) = publish_many([Publication(topic, event, idempotency_key)])
    return delivered


async def apublish(topic: str, event: Mapping[str, Any], *, idempotency_key: str | None = None) -> Delivered:
    """`publish` for async code."""
    (delivered,) = await apublish_many([Publication(topic, event, idempotency_key)])
    return delivered


@async_unsafe("In async code it is `await apublish_many(…)`.")
def publish_many(publications: Iterable[Publication]) -> list[Delivered]:
    """`publish` for many events, in this order, a hundred to a round trip. All are checked first. It waits
    for answers once a thousand events.
    """
    return [Delivered.of(answers) for answers in ask_sync([each.question() for each in publications])]


async def apublish_many(publications: Iterable[Publication]) -> list[Delivered]:
    """`publish_many` for async code."""
    return [Delivered.of(answers) for answers in await ask([each.question() for each in publications])]


def publish_on_commit(topic: str, event: Mapping[str, Any]) -> None:
    """Publish `event` once the transaction that is open has committed, or at once if none is. At least once,
    in the order of transactions that follow each other. For code that is not async.

    It is written to the gateway's database, with the rest of the transaction, and a node ships it. The caller
    does not wait for Redis.

    Raises:
        ValueError: the topic or the event is not valid.
        django.db.Error: it could not be written.
    """
    from proxy.cluster.shipping import put  # its table needs settings, which a product's import does not

    put(check_topic(topic, topic_kinds()), _text_for(topic, event))
