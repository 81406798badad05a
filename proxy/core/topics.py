"""Names of what one publishes to, and the channel-layer groups that carry them."""

from __future__ import annotations

import hashlib
import re

EVERYONE = "everyone"
MAX_TOPIC_CHARS = 512
_KINDS = ("user", "experience", "connection", "node", "session")
_GROUP_SAFE = re.compile(r"[A-Za-z0-9\-_.]{1,64}")


def user_topic(user_id: str) -> str:
    return f"user:{user_id}"


def experience_topic(experience: str) -> str:
    return f"experience:{experience}"


def connection_topic(connection_id: str) -> str:
    return f"connection:{connection_id}"


def node_topic(node_id: str) -> str:
    return f"node:{node_id}"


def check_topic(topic: str) -> str:
    """`topic` itself, if it is `everyone` or `kind:name` of a known kind.

    Raises:
        ValueError: it is neither; the message says what a topic looks like.
    """
    kind, _, name = topic.partition(":")
    if topic == EVERYONE or (kind in _KINDS and name and len(topic) <= MAX_TOPIC_CHARS):
        return topic
    kinds = ", ".join(f"{kind}:…" for kind in _KINDS)
    raise ValueError(f"a topic is {EVERYONE!r} or one of {kinds}; got {topic!r}")


def group_name(topic: str) -> str:
    """The channel-layer group of `topic`: fewer than 100 of the characters that Channels allows.

    Names outside that alphabet are hashed, so that any user id or experience makes a valid group and no two
    topics share one.
    """
    kind, _, name = topic.partition(":")
    if not name:
        return f"gateway.{kind}"
    if _GROUP_SAFE.fullmatch(name):
        return f"gateway.{kind}.{name}"
    return f"gateway.{kind}..{hashlib.sha256(name.encode()).hexdigest()}"
