"""The verdict of the Live page: the worst first, nothing left out, and never better for more trouble."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.causes import REFUSED, refused_words_of
from proxy.core.verdict import HEALTHY, MANY_REFUSALS, OURS, Facts, Level, PoolFacts, verdict

WELL = Facts(running=["box:1", "box:2"], pools=[PoolFacts(name="studio", members=3)])

names = st.text("abcdef", min_size=1, max_size=4)


@st.composite
def pools(draw: st.DrawFn) -> PoolFacts:
    members = draw(st.integers(0, 5))
    down = draw(st.integers(0, members))
    full = draw(st.integers(0, members - down))
    since = draw(st.sampled_from(["", "09:33"]))
    drained = draw(st.integers(0, 3))
    return PoolFacts(
        name=draw(names), members=members, down=down, full=full, drained=drained, down_since=since
    )


@st.composite
def all_facts(draw: st.DrawFn) -> Facts:
    running = draw(st.lists(names, unique=True, max_size=4))
    return Facts(
        running=running,
        draining=[name for name in running if draw(st.booleans())],
        gone=draw(st.dictionaries(names, st.just("09:33"), max_size=2)),
        pools=draw(st.lists(pools(), max_size=3)),
        stores_away=draw(st.lists(st.sampled_from(["Redis", "the database"]), unique=True)),
        loop_lag_seconds=draw(st.floats(0, 5)),
        refusals=draw(st.dictionaries(st.sampled_from(sorted(REFUSED)), st.integers(0, 200), max_size=4)),
    )


@given(all_facts())
def test_it_says_healthy_when_it_is_and_only_then(facts: Facts) -> None:
    found = verdict(facts)
    assert (found.sentences[0] == HEALTHY) == (found.level is Level.WELL)
    assert all(found.sentences)
    assert HEALTHY not in found.sentences[1:]


@given(all_facts(), all_facts())
def test_more_trouble_makes_no_verdict_better_and_hides_none(facts: Facts, other: Facts) -> None:
    worse = replace(
        facts,
        gone={**facts.gone, **other.gone},
        pools=[*facts.pools, *other.pools],
        stores_away=[*facts.stores_away, *other.stores_away],
    )
    assert verdict(worse).level >= verdict(facts).level
    assert set(verdict(facts).sentences) - {HEALTHY} <= set(verdict(worse).sentences)


@given(all_facts())
def test_every_pool_with_a_member_down_is_named_and_bad_without_another(facts: Facts) -> None:
    said = str(verdict(facts))
    for pool in facts.pools:
        assert not pool.down or f"{pool.name}: " in said
        if pool.members + pool.drained and pool.down + pool.full == pool.members:
            assert verdict(facts).level is Level.BAD


@pytest.mark.parametrize(
    ("changed", "level", "said"),
    [
        ({}, Level.WELL, "Healthy"),
        ({"running": []}, Level.BAD, "no node runs"),
        ({"gone": {"box:3": "09:33"}}, Level.LOOK, "node box:3 is gone since 09:33"),
        ({"draining": ["box:2"]}, Level.LOOK, "node box:2 drains"),
        ({"draining": ["box:1", "box:2"]}, Level.BAD, "every node drains"),
        ({"stores_away": ["Redis"]}, Level.BAD, "Redis is away"),
        ({"loop_lag_seconds": 0.24}, Level.WELL, "Healthy"),
        ({"loop_lag_seconds": 0.4}, Level.LOOK, "an event loop is 0.4 s late"),
        ({"loop_lag_seconds": 1.0}, Level.BAD, "an event loop is 1.0 s late"),
        (
            {"pools": [PoolFacts(name="studio", members=3, down=1, down_since="09:33")]},
            Level.LOOK,
            "studio: 1 of 3 members down since 09:33",
        ),
        (
            {"pools": [PoolFacts(name="studio", members=3, down=3)]},
            Level.BAD,
            "studio: all 3 members down",
        ),
        (
            {"pools": [PoolFacts(name="kb", members=1, down=1, down_since="09:33")]},
            Level.BAD,
            "kb: the only member down since 09:33",
        ),
        (
            {"pools": [PoolFacts(name="kb", members=2, down=1, full=1)]},
            Level.BAD,
            "kb: 1 of 2 members down; kb: 1 of 2 members full",
        ),
        (
            {"pools": [PoolFacts(name="studio", members=0, drained=2)]},
            Level.BAD,
            "studio: every member is drained: nothing can be dialled",
        ),
        (
            {"pools": [PoolFacts(name="kb", members=0, drained=1)]},
            Level.BAD,
            "kb: the only member is drained: nothing can be dialled",
        ),
        (
            {"pools": [PoolFacts(name="kb", members=1, down=1, drained=2)]},
            Level.BAD,
            "kb: 1 of 1 member down, 2 drained",
        ),
        ({"pools": [PoolFacts(name="kb", members=1, drained=2)]}, Level.WELL, "Healthy"),
        ({"pools": [PoolFacts(name="kb", members=0)]}, Level.WELL, "Healthy"),
        (
            {"refusals": {"token_expired": 12}},
            Level.WELL,
            "Healthy; 12 refused in 5 min: the token had expired",
        ),
        (
            {"refusals": {"token_expired": 40, "upstream_timeout": 2, "blocked": 1}},
            Level.LOOK,
            "43 refused in 5 min: the service did not answer in time (2), the token had expired (40), others",
        ),
        (
            {"refusals": {"closed_for_maintenance": 900}},
            Level.WELL,
            "Healthy; 900 refused in 5 min: closed for maintenance by staff",
        ),
        (
            {"refusals": {"closed_for_maintenance": 900, "full": 50}},
            Level.LOOK,
            "950 refused in 5 min: closed for maintenance by staff (900), what it asked for was full (50)",
        ),
        (
            {"stores_away": ["Redis"], "gone": {"box:3": "09:33"}},
            Level.BAD,
            "Redis is away; node box:3 is gone since 09:33",
        ),
    ],
)
def test_it_is_read_in_a_glance(changed: dict[str, object], level: Level, said: str) -> None:
    found = verdict(replace(WELL, **changed))  # type: ignore[arg-type]
    assert (found.level, str(found)) == (level, said)


def test_many_refusals_of_clients_own_doing_want_a_look_and_one_of_ours_does() -> None:
    for times, level in ((MANY_REFUSALS - 1, Level.WELL), (MANY_REFUSALS, Level.LOOK)):
        assert verdict(replace(WELL, refusals={"token_signature": times})).level is level
    for cause in OURS:
        assert cause in REFUSED, refused_words_of(cause)
        assert verdict(replace(WELL, refusals={cause: 1})).level is Level.LOOK
