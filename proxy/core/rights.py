"""What a caller of the HTTP API may do: which topics it publishes to, and what else."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from proxy.core.human import is_printable
from proxy.core.topics import EVERYONE, MAX_TOPIC_CHARS, TopicKind

ANY = "*"
STAFFS_APP = "proxy"
# What staff see and do in admin, and programs may over HTTP: rights called as the permissions of staff are.
OF_STAFF = {
    "view_refusal": "Can see who was turned away",
    "view_block": "Can see blocks",
    "view_revocation": "Can see revocations",
    "view_node": "Can see nodes",
    "view_poolmember": "Can see pools",
    "view_deed": "Can see the audit",
    "view_staffnote": "Can see notes about people",
    "add_block": "Can block",
    "delete_block": "Can lift blocks",
    "message_connection": "Can send messages",
    "broadcast_connection": "Can broadcast",
    "drain_node": "Can drain nodes",
    "drain_poolmember": "Can drain pool members",
    "add_staffnote": "Can write notes about people",
    "delete_staffnote": "Can delete notes about people",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """`publish` are patterns of topics: see `check_pattern`. `others`: products' own, and staff's.

    These have an app before their name: `chat.add_participant`, `proxy.view_refusal`.
    """

    publish: tuple[str, ...] = ()
    kick: bool = False
    list_connections: bool = False
    revoke: bool = False
    others: tuple[str, ...] = ()

    def may(self, right: str) -> bool:
        """Whether this is one of them, called as staff's permission is: `kick_connection`, `view_refusal`.

        A product's has its app before it: `chat.add_participant`.
        """
        match right:
            case "view_connection":
                return self.list_connections
            case "kick_connection":
                return self.kick
            case "revoke_tokens":
                return self.revoke
        return (right if "." in right else f"{STAFFS_APP}.{right}") in self.others

    def may_publish(self, topic: str, *, internal: Collection[str]) -> bool:
        """Whether one of the patterns matches `topic`, which need not be one.

        `internal` are the names of kinds that are nobody's to publish to.
        """
        is_internal = topic.partition(":")[0] in internal
        return not is_internal and any(_matches(pattern, topic) for pattern in self.publish)


def check_pattern(pattern: str, kinds: Iterable[TopicKind]) -> str:
    """`pattern`, if it is a topic, the start of some before a `*` (`user:*`, `room:lobby-*`), or `*` for all.

    Raises ValueError, which says what one is, for any other, and for one that no topic of `kinds` matches.
    """
    names = [kind.name for kind in kinds if not kind.is_internal]
    kind, colon, name = pattern.removesuffix(ANY).partition(":")
    of_a_kind = bool(colon) and kind in names and bool(name or pattern.endswith(ANY))
    is_good = pattern in {ANY, EVERYONE} or (of_a_kind and ANY not in name)
    if not is_good or len(pattern) > MAX_TOPIC_CHARS or not is_printable(pattern):
        shown = ", ".join(f"'{name}:*'" for name in names)
        raise ValueError(
            f"what may be published to is a topic, or how some begin and a '*', such as {shown}, "
            f"{EVERYONE!r}, or '*' for all; got {pattern!r}"
        )
    return pattern


def _matches(pattern: str, topic: str) -> bool:
    return topic.startswith(pattern[: -len(ANY)]) if pattern.endswith(ANY) else topic == pattern
