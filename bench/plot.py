"""A result as one picture: a bar a contender, four figures side by side. Lower is better in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

PANELS = (
    ("CPU a round trip, µs", "round_trip_200", "cpu_us"),
    ("CPU a new connection, ms", "connections", "cpu_ms"),
    ("memory of an idle link, KB", "idle", "pss_kb_at_2000"),
    ("p99 at 2,000 messages a second, ms", "open_loop_2000", "p99_ms"),
)
OURS, THEIRS = "#2a6f97", "#b8c4cc"
OWN = ("splice", "inspected", "own-leg", "relay")


def draw(result: Mapping[str, Any], path: Path) -> None:
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same figures give the same file
    figure, panels = plt.subplots(1, len(PANELS), figsize=(15, 3.4), layout="constrained")
    for panel, (title, measure, key) in zip(panels, PANELS, strict=True):
        taken = result["medians"].get(measure, {})
        values = {name: figures[key] for name, figures in taken.items() if figures.get(key)}
        names = [name for name in result["contenders"] if name in values and name != "workers"][::-1]
        drawn = panel.barh(
            names, [values[name] for name in names], color=[OURS if name in OWN else THEIRS for name in names]
        )
        panel.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
        panel.margins(x=0.18)
        panel.set_title(title, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
