"""Is the gateway healthy? What is known of it, said in a line of words, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain

from proxy.core.causes import refused_words_of
from proxy.core.human import counted

HEALTHY = "Healthy"
# So late a loop is felt by those who play; and so late, by everybody.
LATE_SECONDS, VERY_LATE_SECONDS = 0.25, 1.0
# Refusals that are the gateway's or a service's doing, not the client's: the first is worth a look.
OURS = frozenset({
    "draining", "internal_error", "keys_unavailable", "overloaded", "service_busy", "tickets_unavailable",
    "upstream_refused", "upstream_timeout", "upstream_unavailable",
})  # fmt: skip
# And those that staff wish for: however many, they want nobody.
WISHED = frozenset({"closed_for_maintenance"})
# As many of clients' own doing within the minutes told may be a key that was changed, or an attack.
MANY_REFUSALS = 50
_MOST_CAUSES = 2


class Level(IntEnum):
    """How bad it is; the worst of all parts is that of the whole."""

    WELL = 0
    LOOK = 1
    BAD = 2

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """The members of a pool that take, or would take, new links; `down_since` as people read it, or "".

    Those that staff have `drained` are not among them.
    """

    name: str
    members: int
    down: int = 0
    full: int = 0
    drained: int = 0
    down_since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known. Nodes by their names; `stores_away` in words; `refusals` of so many minutes, by cause.

    The loop lag is the worst of all nodes'. What nobody knows is left empty.
    """

    running: Sequence[str] = ()
    draining: Sequence[str] = ()
    gone: Mapping[str, str] = field(default_factory=dict)  # since when, as people read it
    pools: Sequence[PoolFacts] = ()
    stores_away: Sequence[str] = ()
    loop_lag_seconds: float = 0.0
    refusals: Mapping[str, int] = field(default_factory=dict)
    minutes: int = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    level: Level
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.sentences)


_Part = tuple[Level, str]


def verdict(facts: Facts) -> Verdict:
    """What to say at three in the morning: the worst first, and "Healthy" where nothing wants a look."""
    parts = sorted(_parts(facts), key=lambda part: -part[0])  # stable: equals keep their order
    level = max((level for level, _ in parts), default=Level.WELL)
    said = tuple(words for _, words in parts)
    return Verdict(level, said if level else (HEALTHY, *said))


def _parts(facts: Facts) -> Iterator[_Part]:
    yield from chain(
        _of_nodes(facts),
        ((Level.BAD, f"{store} is away") for store in facts.stores_away),
        chain.from_iterable(map(_of_pool, facts.pools)),
        _of_loops(facts.loop_lag_seconds),
        _of_refusals(facts),
    )


def _of_nodes(facts: Facts) -> Iterator[_Part]:
    if not facts.running:
        yield Level.BAD, "no node runs"
    for name, since in facts.gone.items():
        yield Level.LOOK, f"node {name} is gone since {since}"
    if facts.draining and len(facts.draining) == len(facts.running):
        yield Level.BAD, "every node drains" if len(facts.running) > 1 else "the only node drains"
    else:
        yield from ((Level.LOOK, f"node {name} drains") for name in facts.draining)


def _of_pool(pool: PoolFacts) -> Iterator[_Part]:
    since = f" since {pool.down_since}" if pool.down_since else ""
    out = pool.down + pool.full
    if not pool.members:
        if pool.drained:  # one without any member is not used
            yield Level.BAD, f"{pool.name}: {_every(pool.drained)} is drained: nothing can be dialled"
        return
    if pool.down:
        whole = pool.down == pool.members and not pool.drained
        told = f"{pool.down} of {counted(pool.members, 'member')}" if not whole else _all(pool.members)
        drained = f", {pool.drained} drained" if pool.drained else ""
        words = f"{pool.name}: {told} down{since}{drained}"
        yield Level.BAD if out == pool.members else Level.LOOK, words
    if pool.full:
        told = f"{pool.full} of {counted(pool.members, 'member')}"
        yield Level.BAD if out == pool.members else Level.LOOK, f"{pool.name}: {told} full"


def _every(members: int) -> str:
    return "the only member" if members == 1 else "every member"


def _all(members: int) -> str:
    return "the only member" if members == 1 else f"all {members} members"


def _of_loops(worst_seconds: float) -> Iterator[_Part]:
    if worst_seconds >= LATE_SECONDS:
        level = Level.BAD if worst_seconds >= VERY_LATE_SECONDS else Level.LOOK
        yield level, f"an event loop is {worst_seconds:.1f} s late"


def _of_refusals(facts: Facts) -> Iterator[_Part]:
    refused = {cause: times for cause, times in facts.refusals.items() if times > 0}
    total = sum(refused.values())
    if not total:
        return
    is_ours, is_much = not OURS.isdisjoint(refused), _unwished(refused) >= MANY_REFUSALS
    most = sorted(refused.items(), key=lambda each: (each[0] not in OURS, -each[1], each[0]))
    causes = [
        refused_words_of(cause) + (f" ({times:,})" if len(most) > 1 else "")
        for cause, times in most[:_MOST_CAUSES]
    ]
    others = ["others"] if len(most) > _MOST_CAUSES else []
    words = f"{total:,} refused in {facts.minutes} min: {', '.join(causes + others)}"
    yield Level.LOOK if is_ours or is_much else Level.WELL, words


def _unwished(refused: Mapping[str, int]) -> int:
    return sum(times for cause, times in refused.items() if cause not in WISHED)
