"""`manage.py status`: is it healthy, and how much goes through it; what the page Live says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import Error
from django.utils import timezone

from proxy.cluster.lately import lately
from proxy.cluster.questions import LayerAway
from proxy.core.figures import in_words, told
from proxy.core.human import counted
from proxy.core.samples import Sample
from proxy.core.seconds import NodeSample
from proxy.core.text_tables import facts, plain
from proxy.core.verdict import Facts, Level, Verdict, verdict
from proxy.management.staff_command import FAILED, CommandAnswer, StaffCommand
from proxy.status import MINUTES, Seen, Status, clock, pool_facts, status
from proxy.tables import minutes
from proxy.tables.counting import Totals
from proxy.tables.executor import away

# A minute is written some seconds after its end; one that is older says nothing of now.
_MINUTES_LATE = timedelta(minutes=3)
_MOST_COLUMNS = 400
_STATES = ("running", "draining", "gone")
_OF_POOL = ("name", "members", "down", "full", "drained")
_UNKNOWN = "not known: the database is away"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What could be had: of the database, `status`, None where it is away; of Redis, what nodes told it."""

    verdict: Verdict
    status: Status | None
    recent: Sample | None
    nodes: dict[str, int | None] | None
    redis_is_away: bool


class Command(StaffCommand):
    help = "Says how the gateway is: a verdict, figures, nodes, pools. Exit code 1 if it is bad."

    def answer(self, **options: Any) -> CommandAnswer:
        known = _known()
        is_bad = known.verdict.level is Level.BAD
        return CommandAnswer(_told(known), _lines(known), FAILED if is_bad else 0)


def _known() -> _Known:
    """By the last seconds that nodes have told Redis of, or the last minute that one has written down."""
    nodes: tuple[NodeSample, ...] = ()
    recent, redis_is_away = None, False
    if settings.REDIS_URL:
        try:
            second = async_to_sync(lately)(settings.REDIS_URL)
        except LayerAway:
            redis_is_away = True
        else:
            recent, nodes = (second.total, second.nodes) if second else (None, ())
    try:
        recent = recent or _last_minute()
        now = status(Seen(recent, redis_is_away))
    except Error as error:
        return _without_database(error, nodes, recent=recent, redis_is_away=redis_is_away)
    states: dict[str, int | None] = {
        state: sum(node.state == state for node in now.nodes) for state in _STATES
    }
    return _Known(
        verdict=now.verdict, status=now, recent=now.recent, nodes=states, redis_is_away=redis_is_away
    )


def _without_database(
    error: Error, nodes: tuple[NodeSample, ...], *, recent: Sample | None, redis_is_away: bool
) -> _Known:
    """By what nodes tell Redis alone. Who is gone, it does not know."""
    found = verdict(
        Facts(
            running=[node.name for node in nodes] or ["unknown"],
            draining=[node.name for node in nodes if node.state == "draining"],
            stores_away=["Redis"] if redis_is_away else [],
            loop_lag_seconds=recent.loop_lag_seconds if recent else 0.0,
        )
    )
    others = found.sentences if found.level else ()
    states = {
        state: None if state == "gone" else sum(node.state == state for node in nodes) for state in _STATES
    }
    return _Known(
        verdict=Verdict(Level.BAD, (away(error), *others)),
        status=None,
        recent=recent,
        nodes=states if nodes else None,
        redis_is_away=redis_is_away,
    )


def _last_minute() -> Sample | None:
    written = minutes.by_step(int((timezone.now() - _MINUTES_LATE).timestamp()), step_seconds=60)
    return written[-1] if written else None


def _told(known: _Known) -> dict[str, Any]:
    """What is not known is null."""
    now = known.status
    return {
        "at": timezone.now(),
        "level": known.verdict.level.word,
        "says": known.verdict.sentences,
        "totals": now and asdict(now.totals),
        "nodes": known.nodes,
        "pools": now and [_told_pool(pool) for pool in map(pool_facts, now.pools)],
        "refused": now and _told_refused(now),
        "database_is_away": now is None,
        "redis_is_away": known.redis_is_away,
        "figures": None if known.recent is None else _told_figures(known.recent),
    }


def _told_refused(now: Status) -> dict[str, Any]:
    return {"minutes": MINUTES, **{name: now.refused[name] for name in ("times", "by_cause")}}


def _told_pool(pool: Any) -> dict[str, Any]:
    return {name: getattr(pool, name) for name in _OF_POOL}


def _told_figures(recent: Sample) -> dict[str, Any]:
    return told(recent) | {"at": datetime.fromtimestamp(recent.at, UTC), "seconds": recent.seconds}


def _lines(known: _Known) -> Iterator[str]:
    """The worst first."""
    for sentence in known.verdict.sentences:
        yield plain(sentence, _MOST_COLUMNS)
    yield ""
    links = _links(known.status.totals) if known.status else _links_told(known.recent)
    yield from facts([("links", links), *_figures(known.recent), *_nodes(known)])


def _links(found: Totals) -> str:
    more = "+" if found.is_bounded else ""
    return f"{found.links:,}{more} of {found.users:,}{more} {'user' if found.users == 1 else 'users'}"


def _links_told(recent: Sample | None) -> str:
    return _UNKNOWN if recent is None else f"{sum(recent.links.values()):,}, as nodes say"


def _figures(recent: Sample | None) -> Iterator[tuple[str, str]]:
    if recent is None:
        yield "figures", "no node has told any lately"
        return
    yield from in_words(recent).items()
    until = clock(datetime.fromtimestamp(recent.at + recent.seconds, UTC))
    yield "figures", f"the mean of {counted(recent.seconds, 'second')}, until {until}"


def _nodes(known: _Known) -> Iterator[tuple[str, str]]:
    if known.nodes is None:
        yield "nodes", _UNKNOWN
    else:
        states = [f"{number} {state}" for state, number in known.nodes.items() if number]
        yield "nodes", ", ".join(states) or "none"
    if known.status is None:
        yield "pools", _UNKNOWN
        return
    for pool in map(pool_facts, known.status.pools):
        out = [f"{getattr(pool, word)} {word}" for word in _OF_POOL[2:] if getattr(pool, word)]
        if pool.members or pool.drained:
            takes = counted(pool.members, "member") if pool.members else "no member takes new links"
            yield f"pool {pool.name}", ", ".join([takes, *out])
