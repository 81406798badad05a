"""Names of what one publishes to, and the channel-layer groups that carry them."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.history import History

EVERYONE = "everyone"
MAX_TOPIC_CHARS = 512
CONNECTION_GROUPS = 64
# As short as the name of a group needs it.
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,23}")
# Kinds whose groups would be others' by name.
_TAKEN = frozenset({EVERYONE, "connections"})
_GROUP_SAFE = re.compile(r"[A-Za-z0-9\-_.]{1,64}")


@dataclass(frozen=True, slots=True)
class TopicKind:
    """A kind of topic, declared by the routes whose links hear it: `ROOM = TopicKind("room")`.

    `ROOM("42")` is the topic `room:42`. With a `history` each remembers its last events, and clients that
    come back and say what they heard last get those that they missed. With `presence` links are told who is
    there, who joins and who leaves. What is `is_internal` services say to each other, and believe: nobody is
    given leave to publish it over the HTTP API.

    Raises:
        ValueError: the name is none.
    """

    name: str
    history: History | None = None
    presence: bool = False
    is_internal: bool = False

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.name) or self.name in _TAKEN:
            raise ValueError(
                "a kind of topic is named by 1 to 24 of a-z, 0-9, _ and -, a letter first, "
                f"and not {' or '.join(sorted(_TAKEN))}; got {self.name!r}"
            )

    def __call__(self, name: str) -> str:
        """The topic of that name. Any text will do."""
        return f"{self.name}:{name}"


user_topic = TopicKind("user")
connection_topic = TopicKind("connection")
node_topic = TopicKind("node", is_internal=True)
# What links of every route may hear, beside the kinds that their route declares. Nodes hear their own.
LINK_KINDS = (user_topic, connection_topic)


def check_topic(topic: str, kinds: Iterable[TopicKind]) -> str:
    """`topic`, if it is `everyone` or `kind:name` of one of `kinds`; else ValueError says what one is.

    A name that cannot be encoded is none: half a surrogate in a token's claim, say.
    """
    topic.encode()
    kind, _, name = topic.partition(":")
    kinds = tuple(kinds)
    known = [kind.name for kind in kinds]
    if topic == EVERYONE or (kind in known and name and len(topic) <= MAX_TOPIC_CHARS):
        return topic
    shown = ", ".join(f"{kind.name}:…" for kind in kinds if not kind.is_internal)  # which no client hears
    raise ValueError(
        f"a topic is {EVERYONE!r} or one of {shown}, at most {MAX_TOPIC_CHARS} characters; got {topic!r}. "
        "A route declares other kinds in its topic_kinds"
    )


def group_name(topic: str) -> str:
    """The channel-layer group of `topic`: fewer than 100 of the characters that Channels allows.

    Names outside that alphabet are hashed, so that any user id or other name makes a valid group. Connections
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
