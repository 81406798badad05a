"""A result as Markdown: the bars, one table of the essentials, then what else was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]
Column = tuple[str, str, str]  # its title, the figure, how it is written
NOT_TAKEN = "-"

# Title, measure, figure, how it is written: a row a contender.
ESSENTIALS = (
    ("CPU µs a round trip", "round_trip_200", "cpu_us", "{:.1f}"),
    ("round trips a second", "round_trip_200", "per_second", "{:,.0f}"),
    ("proxy's core busy", "round_trip_200", "proxy_busy_share", "{:.0%}"),
    ("p50 ms", "round_trip_200", "p50_ms", "{:.2f}"),
    ("p99 ms", "round_trip_200", "p99_ms", "{:.2f}"),
    ("p99.9 ms", "round_trip_200", "p999_ms", "{:.2f}"),
    ("CPU ms a connection", "connections", "cpu_ms", "{:.2f}"),
    ("connections a second", "connections", "per_second", "{:,.0f}"),
    ("PSS KB a link, 2,000", "idle", "pss_kb_at_2000", "{:.1f}"),
    ("PSS KB a link, 5,000", "idle", "pss_kb_at_5000", "{:.1f}"),
    ("RSS KB a link, 5,000", "idle", "rss_kb_at_5000", "{:.1f}"),
)
SESSIONS = (
    ("CPU µs a message", "session_delivery", "cpu_us", "{:.1f}"),
    ("messages a second", "session_delivery", "per_second", "{:,.0f}"),
    ("CPU ms a session", "session_openings", "cpu_ms", "{:.2f}"),
    ("sessions a second", "session_openings", "per_second", "{:,.0f}"),
    ("PSS KB a session", "session_idle", "pss_kb", "{:.1f}"),
)
COUNTS = (
    ("sent", "sent", "{:,.0f}"),
    ("unanswered", "unanswered_most", "{:,.0f}"),
    ("out of order", "disordered_most", "{:,.0f}"),
)
LATENCY = (
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("p99.9 ms", "p999_ms", "{:.2f}"),
    ("most ms", "most_ms", "{:.2f}"),
)
BUSY = (
    ("proxy busy", "proxy_busy_share", "{:.0%}"),
    ("service busy", "service_busy_share", "{:.0%}"),
    ("Redis busy", "redis_busy_share", "{:.0%}"),
    ("load busy", "load_busy_share", "{:.0%}"),
)
A_SECOND: Column = ("a second", "per_second", "{:,.0f}")
SIZE = (("CPU µs a round trip", "cpu_us", "{:,.1f}"), ("round trips a second", "per_second", "{:,.0f}"))
ACTION = (("gateway's CPU µs", "cpu_us", "{:,.0f}"), ("KB's CPU µs", "service_cpu_us", "{:,.0f}"))
BESIDE_READER = (
    ("p50 ms, all read", "reader_p50_ms", "{:.2f}"),
    ("p99 ms, all read", "reader_p99_ms", "{:.2f}"),
    ("most ms, all read", "reader_most_ms", "{:.2f}"),
)
TO_ALL = (
    ("clients", "links", "{:,.0f}"),
    ("first ms", "first_ms", "{:.1f}"),
    ("half ms", "half_ms", "{:.1f}"),
    ("last ms", "last_ms", "{:.1f}"),
    ("last of the worst ms", "last_most_ms", "{:.1f}"),
    ("answered ms", "call_ms", "{:.1f}"),
    ("told of", "told_links", "{:,.0f}"),
    ("CPU µs a client", "cpu_us", "{:.1f}"),
)
PUBLISHED = (
    ("caller's CPU µs", "caller_us", "{:,.0f}"),
    ("gateway's CPU µs", "gateway_us", "{:,.0f}"),
    ("Redis' CPU µs", "redis_us", "{:,.0f}"),
    ("a call ms", "call_ms", "{:.2f}"),
    ("to the client p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
)
HOW_PUBLISHED = {
    "apublish": "`apublish`, one at a time",
    "publish": "`publish`, one at a time",
    "batch": "`apublish_many`, all at once",
    "history": "`apublish` to a topic that remembers",
    "history_batch": "`apublish_many` to a topic that remembers",
    "on_commit": "`publish_on_commit`, a transaction each",
}


def markdown(result: Result, *, plot: str) -> str:
    parts = [_head(result), "## Bars", *filter(None, _bars(result)), f"![plot]({plot})"]
    for title, tables in _sections(result):
        taken = [one for one in tables if one]
        parts += [f"## {title}", *taken] if taken else []
    return "\n\n".join([*parts, *_absent(result)]) + "\n"


def _sections(result: Result) -> Iterator[tuple[str, list[str]]]:
    yield "Essentials: 200 B, 50 links, closed loop", [_by_contender(result, ESSENTIALS)]
    yield "Other sizes, closed loop", [_by_contender(result, _sizes(result))]
    at_a_rate = {**_open_loop(result), "paced": "1,000 links, 5/s each"}
    crowds = {"held": "9,000 links, 4,500/s", "crowd": "10,000 links, 5,000/s"}
    latency = (*LATENCY, *COUNTS, *BUSY)
    yield (
        "Open loop, 200 B: latency from the intended time of sending",
        [_by_measure(result, at_a_rate | crowds, latency)],
    )
    clients = {f"actions_{n}": f"{n:,} clients" for n in _numbers(result, "actions_")}
    yield (
        "Actions of the game: from a client's message to the reference KB's answer, open loop",
        [_by_measure(result, clients, (*LATENCY, *ACTION, *COUNTS, *BUSY))],
    )
    yield "Sessions: 200 B messages of agents to their viewers, over Redis", _sessions(result)
    chat = {"chat": "50 links, closed loop"}
    yield (
        "Chat: a message and its answer, both checked",
        [_by_measure(result, chat, (A_SECOND, ("CPU µs", "cpu_us", "{:.1f}"), *COUNTS, *BUSY))],
    )
    yield "Events", _events(result)


def _sessions(result: Result) -> list[str]:
    carried = {"session_delivery": "200 sessions", "session_most": "200 sessions, as many as can be"}
    at_rate = {"session_crowd": "10,000 sessions, 5,000 messages a second"}
    slow = {"session_slow": "999 sessions, 2,000 messages a second, beside one that reads nothing"}
    return [
        _by_contender(result, SESSIONS),
        _by_measure(result, carried, (A_SECOND, *COUNTS, *BUSY)),
        _by_measure(result, at_rate, (*LATENCY, *COUNTS, *BUSY)),
        _by_measure(result, slow, (*BESIDE_READER, *LATENCY, *COUNTS)),
    ]


def _events(result: Result) -> list[str]:
    fanout = {"fanout": "to 500 links"}
    one_event = {"event_to_worker": "one event, one worker", "event_to_workers": "one event, two workers"}
    return [
        _by_measure(result, fanout, (A_SECOND, ("CPU µs", "cpu_us", "{:.1f}"), *COUNTS, *BUSY)),
        _by_measure(result, one_event, (*TO_ALL, *COUNTS, *BUSY)),
        _published(result),
    ]


def _published(result: Result) -> str:
    figures = result["medians"].get("publishing", {}).get("events", {})
    rows = [
        [text, *(_cell(figures, f"{way}_{key}", form) for _, key, form in PUBLISHED)]
        for way, text in HOW_PUBLISHED.items()
        if figures
    ]
    return _table(["published by", *(title for title, _, _ in PUBLISHED)], rows)


def _table(header: Iterable[str], rows: Sequence[Iterable[str]]) -> str:
    """Empty without rows."""
    lines = [list(header), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def _head(result: Result) -> str:
    machine, versions = result["machine"], result["versions"]
    return (
        f"# Benchmark of {result['date']}, profile `{result['profile']}`\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}; load {machine['load_before']} before, {machine['load_after']} after; "
        f"took {result['seconds']} s.\n\n"
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _title(result: Result, name: str) -> str:
    return f"{result['contenders'][name]} (`{name}`)"


def _cell(figures: Mapping[str, float], name: str, form: str) -> str:
    return form.format(figures[name]) if name in figures else NOT_TAKEN


def _by_contender(result: Result, columns: Sequence[tuple[str, str, str, str]]) -> str:
    medians, rows = result["medians"], []
    for name in result["contenders"]:
        cells = [
            _cell(medians.get(measure, {}).get(name, {}), key, form) for _, measure, key, form in columns
        ]
        if any(cell != NOT_TAKEN for cell in cells):
            rows.append([_title(result, name), *cells])
    return _table(["proxy", *(column[0] for column in columns)], rows)


def _by_measure(result: Result, measures: Mapping[str, str], columns: Sequence[Column]) -> str:
    rows = [
        [text, _title(result, name), *(_cell(figures, key, form) for _, key, form in columns)]
        for measure, text in measures.items()
        for name, figures in result["medians"].get(measure, {}).items()
    ]
    return _table(["load", "proxy", *(title for title, _, _ in columns)], rows)


def _bars(result: Result) -> Iterator[str]:
    """All that the run measured, and in words what it did not."""
    words = {True: "met", False: "**missed**", None: ""}
    rows = []
    for bar in result["bars"]:
        if "value" in bar:
            by = words[bar["met"]] + (f", by {abs(bar['margin']):.0%}" if bar.get("margin") else "")
            rows.append([bar["of"], bar["bar"], bar["limit"], f"{_number(bar['value'])} {bar['unit']}", by])
    yield _table(["of", "bar", "limit", "measured", ""], rows)
    if missing := [f"{bar['of']}: {bar['bar']}" for bar in result["bars"] if "value" not in bar]:
        yield f"Not measured: {'; '.join(missing)}."


def _numbers(result: Result, measures: str) -> list[int]:
    """What stands behind that in the names of the measures that were taken."""
    return [int(name.removeprefix(measures)) for name in result["medians"] if name.startswith(measures)]


def _sizes(result: Result) -> list[tuple[str, str, str, str]]:
    return [
        (f"{size:,} B: {title}", f"round_trip_{size}", key, form)
        for size in _numbers(result, "round_trip_")
        for title, key, form in SIZE
    ]


def _open_loop(result: Result) -> dict[str, str]:
    return {f"open_loop_{rate}": f"50 links, {rate:,}/s" for rate in _numbers(result, "open_loop_")}


def _absent(result: Result) -> Iterator[str]:
    lines = [f"- `{name}` did not start: {why}" for name, why in result["absent"].items()]
    lines += [f"- {failure}" for failure in result["failures"]]
    if lines:
        yield "## Not measured"
        yield "\n".join(lines)
