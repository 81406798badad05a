"""Names of what one publishes to, and the channel-layer groups that carry them."""

from __future__ import annotations

import hashlib
import re
import zlib

EVERYONE = "everyone"
MAX_TOPIC_CHARS = 512
CONNECTION_GROUPS = 64
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
    kinds = ", ".join(f"{kind}:…" for kind in _KINDS if kind != "node")  # which no client hears
    raise ValueError(f"a topic is {EVERYONE!r} or one of {kinds}; got {topic!r}")


def group_name(topic: str) -> str:
    """The channel-layer group of `topic`: fewer than 100 of the characters that Channels allows.

    Names outside that alphabet are hashed, so that any user id or experience makes a valid group. Connections
    share a few groups: what is sent to a single one is rare (a kick), and a group of its own would cost
    each connection two subscriptions. Messages carry their topic, so sharing delivers nothing to a stranger.
    """
    kind, _, name = topic.partition(":")
    if not name:
        return f"gateway.{kind}"
    if kind == "connection":
        return f"gateway.connections.{zlib.crc32(name.encode()) % CONNECTION_GROUPS}"
    if _GROUP_SAFE.fullmatch(name):
        return f"gateway.{kind}.{name}"
    return f"gateway.{kind}..{hashlib.sha256(name.encode()).hexdigest()}"
