from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pools.balancing import Affinity, LeastConnections, PolicyName, RoundRobin, Weighted, policy


@dataclass(frozen=True)
class Member:
    url: str
    weight: int = 1
    links: int = 0


def members(count: int) -> list[Member]:
    return [Member(f"ws://10.0.0.{number}:8002/") for number in range(count)]


weights = st.lists(st.integers(1, 20), min_size=1, max_size=8)
subsets = st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=60)


@given(st.integers(1, 12), st.integers(0, 200))
def test_round_robin_never_lets_two_members_differ_by_more_than_one(count: int, turns: int) -> None:
    chooser, candidates = RoundRobin(), members(count)
    chosen = Counter(chooser.choose(candidates, key="").url for _ in range(turns))
    counts = [chosen[member.url] for member in candidates]
    assert max(counts) - min(counts) <= 1


@given(weights)
def test_weighted_gives_each_exactly_its_share_of_every_full_round(shares: list[int]) -> None:
    chooser = Weighted()
    candidates = [
        replace(member, weight=share) for member, share in zip(members(len(shares)), shares, strict=True)
    ]
    chosen = Counter(chooser.choose(candidates, key="").url for _ in range(sum(shares) * 3))
    assert [chosen[member.url] for member in candidates] == [share * 3 for share in shares]


@given(subsets)
def test_every_policy_chooses_among_those_it_is_shown(rounds: list[set[int]]) -> None:
    everyone = members(6)
    for name in PolicyName:
        chooser = policy(name)
        for numbers in rounds:
            shown = [everyone[number] for number in sorted(numbers)]
            assert chooser.choose(shown, key="42") in shown


def test_round_robin_forgets_members_it_is_not_shown_any_more() -> None:
    chooser = RoundRobin()
    for number in range(1000):
        chooser.choose([Member(f"ws://{number}/")], key="")
    assert len(chooser._earned) == 1


@given(st.integers(1, 6), st.integers(0, 300))
def test_least_connections_levels_out(count: int, links: int) -> None:
    chooser, held = LeastConnections(), dict.fromkeys([member.url for member in members(count)], 0)
    for _ in range(links):
        held[chooser.choose([Member(url, links=now) for url, now in held.items()], key="").url] += 1
    assert max(held.values()) - min(held.values()) <= 1


def test_least_connections_fills_the_one_that_lost_its_links_first() -> None:
    loaded = [Member("ws://a/", links=100), Member("ws://b/", links=3), Member("ws://c/", links=100)]
    assert LeastConnections().choose(loaded, key="").url == "ws://b/"


@pytest.mark.parametrize("count", [2, 3])
def test_least_connections_takes_equals_in_turn(count: int) -> None:
    chooser, idle = LeastConnections(), members(count)
    assert Counter(chooser.choose(idle, key="").url for _ in range(2 * count)) == {
        each.url: 2 for each in idle
    }


def test_least_connections_counts_by_weight() -> None:
    loaded = [Member("ws://small/", links=6), Member("ws://big/", weight=3, links=15)]
    assert LeastConnections().choose(loaded, key="").url == "ws://big/"


@given(st.text(max_size=200), st.permutations(members(5)))
def test_affinity_depends_on_key_and_members_but_not_on_their_order(key: str, shuffled: list[Member]) -> None:
    chooser = Affinity()
    assert chooser.choose(shuffled, key=key) == chooser.choose(members(5), key=key)


def test_affinity_takes_all_of_a_long_key() -> None:
    alike = [f"{'é' * 100}{number}" for number in range(40)]
    assert len({Affinity().choose(members(5), key=key).url for key in alike}) == 5


@given(st.text(max_size=200), st.integers(2, 8), st.data())
def test_taking_a_member_away_moves_only_its_own_users(key: str, count: int, data: st.DataObject) -> None:
    chooser, everyone = Affinity(), members(count)
    gone = data.draw(st.sampled_from(everyone))
    before = chooser.choose(everyone, key=key)
    after = chooser.choose([member for member in everyone if member != gone], key=key)
    assert before in (after, gone)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_affinity_spreads_users_fairly_and_a_loss_moves_one_nth(count: int) -> None:
    chooser, everyone, users = Affinity(), members(count), 6000
    before = {user: chooser.choose(everyone, key=str(user)) for user in range(users)}
    for held in Counter(before.values()).values():
        assert held == pytest.approx(users / count, rel=0.1)
    moved = sum(before[user] != chooser.choose(everyone[1:], key=str(user)) for user in before)
    assert moved == pytest.approx(users / count, rel=0.1)


def test_affinity_follows_weights() -> None:
    chooser = Affinity()
    unlike = [Member("ws://small/"), Member("ws://big/", weight=3)]
    chosen = Counter(chooser.choose(unlike, key=str(user)).url for user in range(8000))
    assert chosen["ws://big/"] == pytest.approx(6000, rel=0.05)
