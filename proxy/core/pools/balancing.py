"""Which member of a pool takes the next link: small policies behind one interface.

A policy is only ever shown members that are available (healthy, not draining, not full), so that none of them
knows what health is. They keep no more state than one number a member, and forget members they are no longer
shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """What a policy may know of a member. `links` counts leases that are held, dials under way included."""

    @property
    def url(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def links(self) -> int: ...


CandidateT = TypeVar("CandidateT", bound=Candidate)


class PolicyName(StrEnum):
    """The policies, by the name that routes declare."""

    ROUND_ROBIN = "round_robin"
    LEAST_CONNECTIONS = "least_connections"
    WEIGHTED = "weighted"
    AFFINITY = "affinity"


class Policy(Protocol):
    """Chooses one of `candidates`, which are never empty. `key` is what affinity sticks to: the user's id."""

    def choose(self, candidates: Sequence[CandidateT], *, key: str) -> CandidateT: ...


class Weighted:
    """In turn, each as often as its weight says, and as evenly spread as can be (nginx's smooth round robin).

    Every turn each candidate earns its weight; the richest is chosen and pays what all earned together.
    """

    def __init__(self, *, equal: bool = False) -> None:
        self._equal = equal
        self._earned: dict[str, int] = {}

    def choose(self, candidates: Sequence[CandidateT], *, key: str) -> CandidateT:
        earned, before = {}, self._earned
        total = 0
        for candidate in candidates:
            weight = 1 if self._equal else candidate.weight
            earned[candidate.url] = before.get(candidate.url, 0) + weight
            total += weight
        chosen = max(candidates, key=lambda candidate: earned[candidate.url])
        earned[chosen.url] -= total
        self._earned = earned
        return chosen


class RoundRobin(Weighted):
    """In turn, all alike."""

    def __init__(self) -> None:
        super().__init__(equal=True)


class LeastConnections:
    """The one with the fewest links for its weight; in turn among equals."""

    def __init__(self) -> None:
        self._among_equals = RoundRobin()

    def choose(self, candidates: Sequence[CandidateT], *, key: str) -> CandidateT:
        load = [candidate.links / candidate.weight for candidate in candidates]
        least = min(load)
        equals = [candidate for candidate, links in zip(candidates, load, strict=True) if links == least]
        return equals[0] if len(equals) == 1 else self._among_equals.choose(equals, key=key)


class Affinity:
    """The same member for the same key, by weighted rendezvous hashing.

    Every member draws a number from key and name, and the highest wins. Taking one of N members away moves
    only the keys that it had, 1/N of all, and spreads them over the others; bringing it back returns them.
    """

    def choose(self, candidates: Sequence[CandidateT], *, key: str) -> CandidateT:
        return max(candidates, key=lambda candidate: _draw(key, candidate))


def _draw(key: str, candidate: Candidate) -> float:
    """The candidate's number for `key`: independent for each, distributed so that weights hold."""
    digest = blake2b(candidate.url.encode(), key=key.encode()[:64], digest_size=8)
    digest.update(key.encode()[64:])
    uniform = (int.from_bytes(digest.digest(), "big") + 1) / (2**64 + 1)
    return -candidate.weight / math.log(uniform) if uniform < 1 else math.inf


_POLICIES: dict[PolicyName, type[Policy]] = {
    PolicyName.ROUND_ROBIN: RoundRobin,
    PolicyName.LEAST_CONNECTIONS: LeastConnections,
    PolicyName.WEIGHTED: Weighted,
    PolicyName.AFFINITY: Affinity,
}


def policy(name: PolicyName) -> Policy:
    """A new policy of that name; one a pool, since most remember whose turn it is."""
    return _POLICIES[name]()
