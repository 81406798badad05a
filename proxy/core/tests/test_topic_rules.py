"""What holds for a link by the topics that it hears, and what who is refused is told."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.closes import MAX_REASON_BYTES
from proxy.core.topic_rules import ClosedForMaintenance, Full, TopicRule, TopicRules

MILL, MINE = "room:mill", "room:mine"


def test_what_no_rule_names_is_open_to_any_number() -> None:
    rules = TopicRules([TopicRule(topic=MILL, closed="", ends_links=True, most_links=1)])
    for topics in ((), (MINE,), ("everyone", "user:mill")):
        assert rules.closed(topics) is None
        assert not rules.ends_links(topics)
        assert rules.capacities(topics) == {}


def test_a_closed_topic_closes_to_whoever_hears_it_too() -> None:
    rules = TopicRules([TopicRule(topic=MILL, closed="back at nine"), TopicRule(topic=MINE, most_links=3)])
    found = rules.closed((MINE, MILL))
    assert found is not None
    assert found.closed == "back at nine"
    assert not rules.ends_links((MINE, MILL)), "unless it says so, who is in stays"
    assert rules.capacities((MILL, MINE)) == {MINE: 3}


def test_of_several_rules_of_a_topic_each_holds() -> None:
    said = [TopicRule(topic=MILL, most_links=most) for most in (5, 2, 9)]
    rules = TopicRules([*said, TopicRule(topic=MILL, closed="", ends_links=True)])
    assert rules.capacities([MILL]) == {MILL: 2}
    assert rules.closed([MILL]) is not None
    assert rules.ends_links([MILL])


@pytest.mark.parametrize(
    "said",
    [
        {"most_links": 0},
        {"most_links": 1_000_001},
        {"ends_links": True},
        {"closed": "x" * 501},
        {"closed": "half a surrogate: \ud800"},
    ],
)
def test_a_rule_that_could_not_be_kept_is_refused_when_it_is_made(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        TopicRule(topic=MILL, **said)


def test_who_is_refused_reads_staffs_words_and_when_to_come_back_in_a_close_frame_too() -> None:
    told = ClosedForMaintenance(message="New quests!\nBack at nine.")
    told.check()
    assert (told.status, told.outcome) == (503, "closed_for_maintenance")
    assert told.fields() == {
        "code": "closed_for_maintenance",
        "message": "New quests!\nBack at nine.",
        "retry_after_ms": 30_000,
    }
    assert told.as_close().reason == "closed for maintenance: New quests! Back at nine.; retry in 30000 ms"
    for words in ("ä" * 500, "x" * 500, "🎮" * 500):
        long = ClosedForMaintenance(message=words)
        long.check()
        assert len(long.as_close().reason.encode()) <= MAX_REASON_BYTES
        assert long.as_close().reason.endswith("; retry in 30000 ms")
    assert ClosedForMaintenance().message.startswith("Closed for maintenance")
    assert (Full().status, Full().as_close().code) == (503, 4013)
