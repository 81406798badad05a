"""Topics and the channel-layer groups that carry them."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core import topics
from proxy.core.topics import LINK_KINDS, MAX_TOPIC_CHARS, TopicKind, check_topic, group_name, node_topic

CHANNELS_GROUP = re.compile(r"[a-zA-Z0-9\-_.]{1,99}")  # Channels: fewer than 100 of these
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)
OWN_GROUP_KINDS = st.sampled_from(["user", "experience", "node", "session"])
KINDS = (*LINK_KINDS, node_topic, TopicKind("experience"), TopicKind("session"))


@given(NAMES)
def test_any_user_id_gives_a_group_that_channels_takes(user_id: str) -> None:
    for make in KINDS:
        assert CHANNELS_GROUP.fullmatch(group_name(make(user_id)))


@given(OWN_GROUP_KINDS, NAMES, OWN_GROUP_KINDS, NAMES)
def test_two_topics_never_share_a_group(kind: str, name: str, other_kind: str, other_name: str) -> None:
    first, second = f"{kind}:{name}", f"{other_kind}:{other_name}"
    assert (group_name(first) == group_name(second)) is (first == second)


@given(OWN_GROUP_KINDS, st.from_regex(r"\.?[a-f0-9]{64}", fullmatch=True), NAMES)
def test_nobody_can_choose_a_name_that_is_anothers_group(kind: str, chosen: str, name: str) -> None:
    assert group_name(f"{kind}:{chosen}") == group_name(f"{kind}:{name}") or chosen != name
    assert group_name(f"{kind}:{chosen}") != group_name(topics.EVERYONE)
    assert group_name(f"{kind}:{chosen}") != group_name(topics.connection_topic(chosen))


def test_a_plain_name_can_be_read_in_its_group() -> None:
    assert group_name("user:42") == "gateway.user.42"
    assert group_name("everyone") == "gateway.everyone"


def test_connections_share_a_bounded_number_of_groups() -> None:
    groups = {group_name(topics.connection_topic(f"{number:032x}")) for number in range(5000)}
    assert len(groups) == topics.CONNECTION_GROUPS


@pytest.mark.parametrize(
    "topic", ["everyone", "user:42", "user:a:b", "experience:é", "connection:x", "node:n", "session:s"]
)
def test_a_topic_of_a_known_kind_is_taken_as_it_is(topic: str) -> None:
    assert check_topic(topic, KINDS) == topic


@pytest.mark.parametrize(
    "topic", ["", "user", "user:", ":42", "room:1", "Everyone", "everyone:1", "user:" + "x" * MAX_TOPIC_CHARS]
)
def test_anything_else_is_refused_with_what_a_topic_looks_like(topic: str) -> None:
    with pytest.raises(
        ValueError, match="a topic is 'everyone' or one of user:…, connection:…, experience:…"
    ):
        check_topic(topic, KINDS)


def test_a_name_that_cannot_be_encoded_is_refused_before_anything_is_held() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        check_topic("user:half \ud800", KINDS)


def test_a_topic_of_a_kind_that_nobody_declares_is_refused_with_where_to_declare_it() -> None:
    with pytest.raises(ValueError, match=r"'session:s'\. A route declares other kinds in its topic_kinds"):
        check_topic("session:s", LINK_KINDS)


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,23}", fullmatch=True), NAMES)
def test_any_kind_gives_groups_that_channels_takes_and_that_are_its_own(kind: str, name: str) -> None:
    assume(kind not in {"everyone", "connection", "connections"})
    group = group_name(TopicKind(kind)(name))
    assert CHANNELS_GROUP.fullmatch(group)
    assert group.startswith(f"gateway.{kind}.")


@pytest.mark.parametrize("kind", ["", "everyone", "connections", "Room", "a:b", "1st", "x" * 25])
def test_a_kind_whose_groups_would_be_others_or_none_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="a kind of topic is named by"):
        TopicKind(kind)
