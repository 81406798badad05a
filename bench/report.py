"""A result as Markdown: one table of the essentials, the bars, then what else was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Result = Mapping[str, Any]
NOT_TAKEN = "-"

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
LATENCY = (("p50 ms", "p50_ms"), ("p99 ms", "p99_ms"), ("p99.9 ms", "p999_ms"))
SIZE = (("CPU µs a round trip", "cpu_us", "{:,.1f}"), ("round trips a second", "per_second", "{:,.0f}"))


def markdown(result: Result, *, plot: str) -> str:
    parts = [
        _head(result),
        f"![plot]({plot})",
        "## Essentials: 200 B, 50 links, closed loop",
        _by_contender(result, ESSENTIALS),
        "## Bars",
        _bars(result),
        "## Other sizes, closed loop",
        *_sizes(result),
        "## Open loop, 200 B: latency from the intended time of sending",
        _open_loop(result),
        "## Crowds and events",
        _rest(result),
        *_absent(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def _by_contender(result: Result, columns: Iterable[tuple[str, str, str, str]]) -> str:
    medians, columns = result["medians"], list(columns)
    rows = []
    for name in result["contenders"]:
        cells = [
            _cell(medians.get(measure, {}).get(name, {}), key, form) for _, measure, key, form in columns
        ]
        if any(cell != NOT_TAKEN for cell in cells):
            rows.append([_title(result, name), *cells])
    return table(["proxy", *(column[0] for column in columns)], rows)


def _bars(result: Result) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = []
    for bar in result["bars"]:
        value = f"{_number(bar['value'])} {bar['unit']}" if "value" in bar else NOT_TAKEN
        by = f"{words[bar['met']]}" + (f", by {abs(bar['margin']):.0%}" if bar.get("margin") else "")
        rows.append([str(bar["bar"]), str(bar["limit"]), value, by])
    return table(["bar", "limit", "measured", ""], rows)


def _sizes(result: Result) -> Iterable[str]:
    measures = [name for name in result["medians"] if name.startswith("round_trip_")]
    columns = [
        (f"{int(measure.rpartition('_')[2]):,} B: {title}", measure, key, form)
        for measure in measures
        for title, key, form in SIZE
    ]
    if columns:
        yield _by_contender(result, columns)


def _open_loop(result: Result) -> str:
    names = [name for name in result["medians"] if name.startswith("open_loop_") or name == "paced"]
    rows = []
    for measure in names:
        load = "1,000 links, 5/s each" if measure == "paced" else f"50 links, {int(measure[10:]):,}/s"
        for name, figures in result["medians"][measure].items():
            latency = [_cell(figures, key, "{:.2f}") for _, key in LATENCY]
            counts = [f"{figures[key]:,.0f}" for key in ("sent", "unanswered", "disordered")]
            rows.append([load, _title(result, name), *latency, *counts])
    return table(
        ["load", "proxy", *(title for title, _ in LATENCY), "sent", "unanswered", "out of order"], rows
    )


def _rest(result: Result) -> str:
    rows = [
        [
            measure,
            _title(result, name),
            ", ".join(f"{key} {_number(value)}" for key, value in figures.items()),
        ]
        for measure in ("held", "crowd", "fanout")
        for name, figures in result["medians"].get(measure, {}).items()
    ]
    return table(["measure", "proxy", "figures"], rows) if rows else ""


def _absent(result: Result) -> Iterable[str]:
    lines = [f"- `{name}` did not start: {why}" for name, why in result["absent"].items()]
    lines += [f"- {failure}" for failure in result["failures"]]
    if lines:
        yield "## Not measured"
        yield "\n".join(lines)
