"""`manage.py status`: is it healthy, and how much goes through it; what the page Live says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone

from proxy.admin.live_facts import NodeView, clock, facts_of, node_views
from proxy.admin.live_figures import Seen, in_words
from proxy.admin.live_rows import Totals, totals
from proxy.admin.pools_overview import pool_views
from proxy.admin.refusals import lately
from proxy.cluster.last_second import last_second
from proxy.cluster.questions import LayerAway
from proxy.core.human import counted
from proxy.core.samples import Sample
from proxy.core.seconds import Second
from proxy.core.text_tables import facts as as_facts
from proxy.core.text_tables import plain
from proxy.core.verdict import Facts, Level, Verdict, verdict
from proxy.management.staff_command import FAILED, Answer, StaffCommand
from proxy.tables import minutes

MINUTES = 5
# A minute is written some seconds after its end; one that is older says nothing of now.
_MINUTES_LATE = timedelta(minutes=3)
_MOST_COLUMNS = 400


class Command(StaffCommand):
    help = "Says how the gateway is: a verdict, figures, nodes, pools. Exit code 1 if it is bad."

    def answer(self, **options: Any) -> Answer:
        looked = _look()
        bad = looked.verdict.level is Level.BAD
        return Answer(_told(looked), _lines(looked), FAILED if bad else 0)


class _Looked(NamedTuple):
    verdict: Verdict
    facts: Facts
    nodes: list[NodeView]
    totals: Totals
    figures: Sample | None


def _look() -> _Looked:
    nodes, refused = node_views(), lately(minutes=MINUTES)
    seen = _seen()
    facts = facts_of(nodes, pool_views(), refused["by_cause"], minutes=MINUTES, seen=seen)
    return _Looked(verdict(facts), facts, nodes, totals(), seen.second)


def _seen() -> Seen:
    """The last second that nodes have told Redis of, or the last minute that one of them has written down."""
    second, is_away = None, False
    if settings.REDIS_URL:
        try:
            second = async_to_sync(last_second)(settings.REDIS_URL)
        except LayerAway:
            is_away = True
    return Seen(second.total if second else _last_minute(), is_away)


def _last_minute() -> Sample | None:
    written = minutes.by_step(int((timezone.now() - _MINUTES_LATE).timestamp()), step_seconds=60)
    return written[-1] if written else None


def _told(looked: _Looked) -> dict[str, Any]:
    facts, figures = looked.facts, looked.figures
    return {
        "at": timezone.now(),
        "level": looked.verdict.level.word,
        "verdict": str(looked.verdict),
        "sentences": looked.verdict.sentences,
        "links": looked.totals.links,
        "users": looked.totals.users,
        "is_bounded": looked.totals.is_bounded,
        "nodes": {state: sum(node.state == state for node in looked.nodes) for state in _STATES},
        "pools": [
            {"name": pool.name, "members": pool.members, "down": pool.down, "full": pool.full}
            for pool in facts.pools
        ],
        "refusals": {"minutes": facts.minutes, "by_cause": dict(facts.refusals)},
        "redis_is_away": bool(facts.stores_away),
        "figures": None if figures is None else _told_figures(figures),
    }


_STATES = ("running", "draining", "gone")


def _told_figures(figures: Sample) -> dict[str, Any]:
    """As pages hear them, of `seconds` from `at` on; without nodes, which `manage.py nodes` has."""
    told = Second(figures, ()).told()
    del told["nodes"]
    return told | {"at": datetime.fromtimestamp(figures.at, UTC)}


def _lines(looked: _Looked) -> Iterator[str]:
    """The worst first."""
    for sentence in looked.verdict.sentences:
        yield plain(sentence, _MOST_COLUMNS)
    yield ""
    yield from as_facts([("links", _links(looked.totals)), *_figures(looked.figures), *_nodes(looked)])


def _links(found: Totals) -> str:
    more = "+" if found.is_bounded else ""
    return f"{found.links:,}{more} of {found.users:,}{more} {'user' if found.users == 1 else 'users'}"


def _figures(figures: Sample | None) -> Iterator[tuple[str, str]]:
    if figures is None:
        yield "figures", "no node has told any lately"
        return
    yield from in_words(figures).items()
    at = clock(datetime.fromtimestamp(figures.at, UTC))
    yield "as of", f"{at}, {counted(figures.seconds, 'second')}"


def _nodes(looked: _Looked) -> Iterator[tuple[str, str]]:
    by_state = _told(looked)["nodes"]
    yield "nodes", ", ".join(f"{number} {state}" for state, number in by_state.items() if number) or "none"
    for pool in looked.facts.pools:
        out = [f"{number} {word}" for number, word in ((pool.down, "down"), (pool.full, "full")) if number]
        if pool.members:
            yield f"pool {pool.name}", ", ".join([counted(pool.members, "member"), *out])
