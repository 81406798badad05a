"""Which topics a caller of the HTTP API may publish to."""

from __future__ import annotations

import pytest

from proxy.core.rights import Rights, check_pattern
from proxy.core.topics import LINK_KINDS, TopicKind, node_topic

HIDDEN = TopicKind("hidden", is_internal=True)
KINDS = (*LINK_KINDS, node_topic, TopicKind("room"), HIDDEN)
INTERNAL = {"node", "hidden"}


@pytest.mark.parametrize(
    ("pattern", "topic", "may"),
    [
        ("user:*", "user:ada", True),
        ("user:*", "user:*", True),
        ("user:*", "users:ada", False),
        ("user:*", "everyone", False),
        ("user:ada", "user:ada", True),
        ("user:ada", "user:ada2", False),
        ("room:lobby-*", "room:lobby-1", True),
        ("room:lobby-*", "room:lobb", False),
        ("everyone", "everyone", True),
        ("user:\N{WOMAN}\u200d\N{GIRL}", "user:\N{WOMAN}\u200d\N{GIRL}", True),
        ("*", "everyone", True),
        ("*", "room:1", True),
        ("*", "node:all", False),
        ("*", "hidden:1", False),
    ],
)
def test_a_pattern_is_a_topic_or_how_topics_begin(pattern: str, topic: str, may: bool) -> None:
    assert check_pattern(pattern, KINDS) == pattern
    assert Rights(publish=("room:other", pattern)).may_publish(topic, internal=INTERNAL) is may


NO_PATTERNS = [
    *("", "user", "user:", "user*", "us*", "us*r:a", "user:a*b", "**", "everyone*"),
    *("nobody:*", "hidden:*", "hidden:1", "node:*", "node:all", "user:\n", f"user:{'a' * 508}"),
]


@pytest.mark.parametrize("pattern", NO_PATTERNS)
def test_a_pattern_that_no_topic_or_not_only_one_kind_matches_is_refused(pattern: str) -> None:
    with pytest.raises(
        ValueError, match=r"'user:\*', 'connection:\*', 'room:\*', 'everyone', or '\*' for all"
    ):
        check_pattern(pattern, KINDS)


def test_who_was_given_nothing_may_do_nothing() -> None:
    assert not Rights().may_publish("everyone", internal=INTERNAL)
    assert not Rights().kick
    assert not Rights().list_connections
