"""Publishing to topics: from Python, from a shell, on any node that shares the channel layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from proxy.cluster import signals
from proxy.cluster.signals import send_to_topic, send_to_topic_sync
from proxy.core.topics import check_topic
from proxy.registry import topic_kinds


def encode_event(event: Mapping[str, Any]) -> str:
    """`event` as the one JSON text that clients read.

    Raises:
        ValueError: it is no object with a text `type`, is no JSON, or claims to be the gateway itself.
    """
    kind = event.get("type") if isinstance(event, Mapping) else None
    if not isinstance(kind, str) or not kind:
        raise ValueError("an event is an object with a text 'type'")
    if kind.startswith("gateway."):
        raise ValueError("types that begin with 'gateway.' are the gateway's own")
    try:
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()  # half a surrogate pair is no text, and would only fail on the way
    except (TypeError, RecursionError) as error:
        raise ValueError(f"an event must be JSON: {error}") from error
    return text


async def publish(topic: str, event: Mapping[str, Any]) -> None:
    """Publish `event` to everyone who hears `topic`, now. Events of one publisher arrive in order.

    Delivery is at most once: a client that is away, or a Redis that is, misses it.

    Raises:
        ValueError: the topic or the event is not valid.
        LayerAway: Redis is away, or does not answer in two seconds.
    """
    await send_to_topic(topic, signals.event(encode_event(event)))


def publish_on_commit(topic: str, event: Mapping[str, Any]) -> None:
    """`publish` for code that is not async: at once, or, inside a transaction, after it commits.

    The topic and the event are checked at once, so that a mistake fails where it was made.

    Raises:
        ValueError: the topic or the event is not valid.
        LayerAway: as `publish`, where it is sent at once.
    """
    signal = signals.event(encode_event(event))
    check_topic(topic, topic_kinds())
    # Django's on_commit opens the database even where no transaction is: events need none.
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(lambda: send_to_topic_sync(topic, signal))
    else:
        send_to_topic_sync(topic, signal)
