"""The bars that the gateway is held to, and how this run stands to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

Medians = Mapping[str, Mapping[str, Mapping[str, float]]]  # measure → contender → figure → median
Value = Callable[[Medians], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`value` raises KeyError when the run did not measure what it needs. Without a `limit`: only told."""

    of: str
    text: str
    limit: float | None = None
    unit: str = "x"
    at_least: bool = False
    value: Value

    def verdict(self, medians: Medians) -> dict[str, object]:
        """`met` is None: not measured, or no limit. `margin`: what of a limit is left or missing, a share."""
        told: dict[str, object] = {"of": self.of, "bar": self.text, "limit": self._limit(), "met": None}
        try:
            value = self.value(medians)
        except KeyError as missing:
            return told | {"why": f"not measured: {missing}"}
        told |= {"value": value, "unit": self.unit}
        if self.limit is None:
            return told
        met = value >= self.limit if self.at_least else value <= self.limit
        spare = (value - self.limit) * (1 if self.at_least else -1)
        return told | {"met": met, "margin": spare / self.limit if self.limit else 0.0}

    def _limit(self) -> str:
        if self.limit is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g} {self.unit}"


def figure(measure: str, name: str, contender: str) -> Value:
    return lambda medians: medians[measure][contender][name]


def ratio(measure: str, name: str, one: str, other: str) -> Value:
    return lambda medians: medians[measure][one][name] / medians[measure][other][name]


def added(measure: str, name: str, one: str, other: str) -> Value:
    """What one has more than the other: of percentiles their difference."""
    return lambda medians: medians[measure][one][name] - medians[measure][other][name]


def astray(*of: tuple[str, str]) -> Value:
    """Messages lost or out of order in the worst round: of each measure and contender that was taken."""

    def count(medians: Medians) -> float:
        taken = [medians[measure][name] for measure, name in of if name in medians.get(measure, {})]
        if not taken:
            raise KeyError(of[0][0])
        return sum(figures["unanswered_most"] + figures["disordered_most"] for figures in taken)

    return count


def _round_trips() -> Iterator[Bar]:
    for of, one, other, limit in (
        ("splice to nginx", "splice", "nginx", 1.3),
        ("splice to FastAPI", "splice", "fastapi", 0.40),
        ("splice to the naive consumer", "splice", "naive", 0.10),
        ("inspected to FastAPI", "inspected", "fastapi", 0.60),
    ):
        costs = ratio("round_trip_200", "cpu_us", one, other)
        yield Bar(of="links", text=f"CPU a round trip, {of}", limit=limit, value=costs)


def _idle_links() -> Iterator[Bar]:
    bar = partial(Bar, of="links")
    for of, count, contender, limit in (
        ("spliced link", 5_000, "splice", 16),
        ("link to a leg of the route's own", 2_000, "own-leg", 20),
    ):
        rss = figure("idle", f"rss_kb_at_{count}", contender)
        yield bar(text=f"memory (RSS) of an idle {of}, at {count:,}", limit=limit, unit="KB", value=rss)
    held = figure("held", "held", "splice")
    yield bar(text="links held at once by one worker", limit=9_000, unit="links", at_least=True, value=held)


def _busy_links() -> Iterator[Bar]:
    bar = partial(Bar, of="links")
    for of, measure, contender, limit in (
        ("1,000 links at 5 messages a second each", "paced", "splice", 10),
        ("10,000 links on two workers", "crowd", "workers", 50),
    ):
        more = added(measure, "p99_ms", contender, "direct")
        yield bar(text=f"latency added at p99, {of}", limit=limit, unit="ms", value=more)
    lost = astray(("paced", "splice"), ("held", "splice"), ("crowd", "workers"))
    yield bar(text="messages lost or out of order, worst round", limit=0, unit="messages", value=lost)
    yield bar(
        text="CPU a new connection, splice (with JWT, admission, groups, record) to FastAPI (only the dial)",
        limit=0.60,
        value=ratio("connections", "cpu_ms", "splice", "fastapi"),
    )
    yield _a_second("links", "new connections", 1_000, "connections", "workers")


def _a_second(of: str, what: str, limit: float, measure: str, contender: str) -> Bar:
    return Bar(
        of=of,
        text=f"{what} a second, two workers",
        limit=limit,
        unit="a second",
        at_least=True,
        value=figure(measure, "per_second", contender),
    )


def _actions() -> Iterator[Bar]:
    bar = partial(Bar, of="actions")
    for links, limit in ((100, 100), (1_000, 200)):
        measure, clients = f"actions_{links}", f"{links:,} clients"
        p99 = figure(measure, "p99_ms", "play-v2")
        yield bar(text=f"action to answer at p99 over HTTP, {clients}", limit=limit, unit="ms", value=p99)
        more = added(measure, "p99_ms", "play-v2", "play-v1")
        yield bar(text=f"… more than on the KB's sockets, {clients}", unit="ms", value=more)
        for whose, name in (("gateway's", "cpu_us"), ("KB's", "service_cpu_us")):
            costs = added(measure, name, "play-v2", "play-v1")
            yield bar(
                text=f"{whose} CPU an action more than on its sockets, {clients}", unit="µs", value=costs
            )
    lost = astray(*((f"actions_{links}", "play-v2") for links in (100, 1_000)))
    yield bar(text="actions lost, refused or out of order, worst round", limit=0, unit="actions", value=lost)


def _session_costs() -> Iterator[Bar]:
    bar = partial(Bar, of="sessions")
    a_message = partial(ratio, "session_delivery", "cpu_us", "sessions")
    yield bar(
        text="CPU a message, to FastAPI + redis.asyncio", limit=0.25, value=a_message("fastapi-sessions")
    )
    yield bar(text="CPU a message, to a Channels consumer", value=a_message("channels-sessions"))
    for at, measure, contender in (
        ("2,000 on one worker", "session_idle", "sessions"),
        ("10,000 on two workers", "session_crowd", "sessions-workers"),
    ):
        pss = figure(measure, "pss_kb", contender)
        yield bar(text=f"memory (PSS) of an idle session, {at}", limit=16, unit="KB", value=pss)
    yield _a_second("sessions", "new sessions", 1_000, "session_openings", "sessions-workers")
    yield _a_second("sessions", "messages", 100_000, "session_most", "sessions-workers")


def _session_latency() -> Iterator[Bar]:
    bar = partial(Bar, of="sessions", unit="ms")
    crowd, p99 = "10,000 sessions on two workers at 5,000 messages a second", "p99_ms"
    to_client = figure("session_crowd", p99, "sessions-workers")
    yield bar(text=f"p99 from PUBLISH to the client, {crowd}", limit=50, value=to_client)
    for of, name in (("reads much", "reader_p99_ms"), ("is told much and reads nothing", p99)):
        waited = figure("session_slow", name, "sessions")
        yield bar(text=f"p99 to the other 999 sessions of a worker while one {of}", value=waited)
    lost = astray(
        ("session_delivery", "sessions"),
        ("session_most", "sessions-workers"),
        ("session_crowd", "sessions-workers"),
        ("session_slow", "sessions"),
    )
    yield bar(text="messages lost or out of order, worst round", limit=0, unit="messages", value=lost)


def _events() -> Iterator[Bar]:
    bar = partial(Bar, of="events")
    yield _a_second("events", "events delivered", 100_000, "fanout", "workers")
    lost = astray(
        *(("fanout", name) for name in ("splice", "workers")),
        *(("event_to_worker", name) for name in ("splice", "sessions")),
        *(("event_to_workers", name) for name in ("workers", "sessions-workers")),
        ("publishing", "events"),
    )
    yield bar(text="events lost or out of order, worst round", limit=0, unit="events", value=lost)
    for way, text in (
        ("apublish", "`apublish`"),
        ("publish", "`publish`"),
        ("batch", "a batch of `apublish_many`"),
        ("history", "`apublish` to a topic that remembers"),
        ("on_commit", "`publish_on_commit`, a transaction each"),
    ):
        costs = figure("publishing", f"{way}_all_us", "events")
        yield bar(text=f"CPU an event of caller, gateway and Redis, {text}", unit="µs", value=costs)
    for measure, clients, names in (
        ("event_to_worker", "9,000 clients of one worker", ("splice", "sessions")),
        ("event_to_workers", "10,000 clients of two workers", ("workers", "sessions-workers")),
    ):
        for name, way in zip(names, ("spliced links", "sessions"), strict=True):
            last = figure(measure, "last_ms", name)
            yield bar(text=f"an event to the last of {clients}, {way}", unit="ms", value=last)


def _chat() -> Iterator[Bar]:
    costs = ratio("chat", "cpu_us", "chat", "fastapi-chat")
    yield Bar(
        of="chat",
        text="CPU a message and its answer, both checked, to FastAPI + pydantic",
        limit=0.35,
        value=costs,
    )
    lost = astray(("chat", "chat"))
    yield Bar(
        of="chat", text="messages lost or out of order, worst round", limit=0, unit="messages", value=lost
    )


BARS = (
    *(*_round_trips(), *_idle_links(), *_busy_links()),
    *_actions(),
    *(*_session_costs(), *_session_latency()),
    *_chat(),
    *_events(),
)


def verdicts(medians: Medians) -> list[dict[str, object]]:
    return [bar.verdict(medians) for bar in BARS]
