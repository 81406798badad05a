"""What leads where, and what no name may do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.bridging.bridged import Bridged
from proxy.core.bridging.channels import BridgedChannel
from proxy.core.bridging.subjects import BridgedSubject, fewest, uncovered, written

USERS = BridgedSubject.parse("world.updates.user.{user_id}=user:{user_id}")


def test_a_part_in_braces_is_the_name_of_the_topic() -> None:
    assert USERS.subject_of("user:42") == "world.updates.user.42"
    assert USERS.subject_of("user:ann@example.org") == "world.updates.user.ann@example%2Eorg"
    assert USERS.subject_of("experience:42") is None
    assert USERS.kind == "user"


def test_a_source_without_a_part_leads_to_one_topic() -> None:
    news = BridgedSubject.parse("news.*.all.> = everyone")
    assert (news.subject_of("everyone"), news.subject_of("user:1")) == ("news.*.all.>", None)
    assert BridgedSubject.parse("orders.north=shop:north").subject_of("shop:south") is None


@given(name=st.text(min_size=1, max_size=512))
def test_whatever_a_name_holds_it_is_one_token_that_fits_a_line_of_the_protocol(name: str) -> None:
    subject = USERS.subject_of(f"user:{name}")
    assert subject is not None
    assert subject.count(".") == 3
    assert not re.search(r"[\x00-\x20\x7f*>]", subject)
    assert len(subject.encode()) < 4096 - 100


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_no_two_names_are_written_alike(one: str, other: str) -> None:
    assert (written(one) == written(other)) == (one == other)


@given(name=st.text(min_size=1, max_size=40))
@pytest.mark.parametrize("source", ["a.{id}", "a.x-{id}.b", "a.*.{id}.>"])
def test_what_is_published_for_a_topic_is_known_to_be(source: str, name: str) -> None:
    bridged = BridgedSubject(source, "user:{id}")
    subject = bridged.subject_of(f"user:{name}")
    assert subject is not None
    published = subject.replace("*", "any").replace(">", "more.of.it")
    assert bridged.subject_in(published) == subject
    assert bridged.subject_in("b." + published) is None


def test_a_source_without_a_part_knows_its_own_messages() -> None:
    news = BridgedSubject.parse("news.*.all.>=everyone")
    assert news.subject_in("news.eu.all.x.y") == "news.*.all.>"
    assert news.subject_in("news.eu.all") is None


def test_one_subject_with_wildcards_stands_for_all_of_a_source() -> None:
    sources = ["a.x-{id}.b", "a.{id}.b", "c.d.{id}"]
    subjects = [BridgedSubject(source, "user:{id}").any_subject for source in sources]
    assert subjects == ["a.*.b", "a.*.b", "c.d.*"]
    assert fewest([*subjects, "a.c.b", "a.*.b.c", "c.>", "c"]) == ["a.*.b", "a.*.b.c", "c.>", "c"]
    assert fewest([*subjects, "a.>", "a"]) == ["c.d.*", "a.>", "a"]


def test_a_name_that_no_bytes_can_say_has_no_subject() -> None:
    assert USERS.subject_of("user:\ud800") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "news",
        "news=",
        "=user:{id}",
        "news.{id}=user:{other}",
        "news.{id}=user:x{id}",
        "news.{id}=everyone",
        "news=user:{id}",
        "{a}.{b}=user:{a}",
        "news.{id=user:{id}",
        "news=User:1",
        "news=user:",
        "n" * 513 + "=everyone",
    ],
)
def test_what_leads_nowhere_is_no_bridge(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Bridged.parse(text)


@pytest.mark.parametrize(
    "source",
    [
        "{id}.news",
        "$SYS.{id}",
        "_INBOX.{id}",
        "*.{id}",
        "news..{id}",
        "news.>.{id}",
        "news.a*.{id}",
        "a b.{id}",
    ],
)
def test_what_is_no_subject_or_could_be_the_servers_own_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        BridgedSubject(source, "user:{id}")


def test_a_channel_is_written_as_its_name_and_in_a_pattern_no_name_is_one() -> None:
    plain, pattern = (BridgedChannel.parse(f"{source}=user:{{id}}") for source in ("a:{id}", "a:?:{id}"))
    assert (plain.channel_of("user:*[x]"), plain.is_pattern) == ("a:*[x]", False)
    assert (pattern.channel_of("user:*[x]\\"), pattern.is_pattern) == ("a:?:\\*\\[x\\]\\\\", True)
    assert plain.channel_of("user:\ud800") is None


@pytest.mark.parametrize("source", ["{id}", "*{id}", "gate*:{id}", "gateway__group__{id}", "[g]ateway{id}"])
def test_no_channel_is_one_of_the_gateways_own(source: str) -> None:
    with pytest.raises(ValueError, match="a channel begins with a word of its own"):
        BridgedChannel(source, "user:{id}")


def test_what_a_stream_does_not_keep_is_known() -> None:
    assert uncovered(["a.*.b", "c.*", "d"], by=["a.>", "d", "c.e"]) == ["c.*"]
