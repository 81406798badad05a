"""`manage.py status`: is it healthy, and how much goes through it; what the page Live says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone

from proxy.cluster.lately import lately
from proxy.cluster.questions import LayerAway
from proxy.core.figures import in_words, told
from proxy.core.human import counted
from proxy.core.samples import Sample
from proxy.core.text_tables import facts, plain
from proxy.core.verdict import Level
from proxy.management.staff_command import FAILED, Answer, StaffCommand
from proxy.status import MINUTES, Seen, Status, clock, pool_facts, status
from proxy.tables import minutes
from proxy.tables.counting import Totals

# A minute is written some seconds after its end; one that is older says nothing of now.
_MINUTES_LATE = timedelta(minutes=3)
_MOST_COLUMNS = 400


class Command(StaffCommand):
    help = "Says how the gateway is: a verdict, figures, nodes, pools. Exit code 1 if it is bad."

    def answer(self, **options: Any) -> Answer:
        seen = _seen()
        now = status(seen)
        is_bad = now.verdict.level is Level.BAD
        return Answer(_told(now, redis_is_away=seen.redis_is_away), _lines(now), FAILED if is_bad else 0)


def _seen() -> Seen:
    """The last seconds that nodes have told Redis of, or the last minute that one has written down."""
    seconds, is_away = None, False
    if settings.REDIS_URL:
        try:
            seconds = async_to_sync(lately)(settings.REDIS_URL)
        except LayerAway:
            is_away = True
    return Seen(seconds.total if seconds else _last_minute(), is_away)


def _last_minute() -> Sample | None:
    written = minutes.by_step(int((timezone.now() - _MINUTES_LATE).timestamp()), step_seconds=60)
    return written[-1] if written else None


def _told(now: Status, *, redis_is_away: bool) -> dict[str, Any]:
    return {
        "at": timezone.now(),
        "level": now.verdict.level.word,
        "says": now.verdict.sentences,
        "totals": asdict(now.totals),
        "nodes": _by_state(now),
        "pools": [
            {"name": pool.name, "members": pool.members, "down": pool.down, "full": pool.full}
            for pool in map(pool_facts, now.pools)
        ],
        "refused": {"minutes": MINUTES, **{name: now.refused[name] for name in ("times", "by_cause")}},
        "redis_is_away": redis_is_away,
        "figures": None if now.second is None else _told_figures(now.second),
    }


def _told_figures(second: Sample) -> dict[str, Any]:
    return told(second) | {"at": datetime.fromtimestamp(second.at, UTC), "seconds": second.seconds}


def _by_state(now: Status) -> dict[str, int]:
    return {state: sum(node.state == state for node in now.nodes) for state in _STATES}


_STATES = ("running", "draining", "gone")


def _lines(now: Status) -> Iterator[str]:
    """The worst first."""
    for sentence in now.verdict.sentences:
        yield plain(sentence, _MOST_COLUMNS)
    yield ""
    yield from facts([("links", _links(now.totals)), *_figures(now.second), *_nodes(now)])


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


def _nodes(now: Status) -> Iterator[tuple[str, str]]:
    states = [f"{number} {state}" for state, number in _by_state(now).items() if number]
    yield "nodes", ", ".join(states) or "none"
    for pool in map(pool_facts, now.pools):
        out = [f"{number} {word}" for number, word in ((pool.down, "down"), (pool.full, "full")) if number]
        if pool.members:
            yield f"pool {pool.name}", ", ".join([counted(pool.members, "member"), *out])
