"""Measure, write and print: `python -m bench [--profile quick|full] [--stage NAME,...] [--only NAME,...]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import bars, machine, plan, plot, report, running, stages
from bench.contenders import CONTENDERS, Contender
from bench.profiles import PROFILES, Profile

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = _options()
    machine.raise_open_files()
    result = measured(PROFILES[options.profile], options.stage, options.only)
    RESULTS.mkdir(exist_ok=True)
    stem = options.output or RESULTS / f"{result['date'].replace(':', '')}"
    written = write(result, Path(stem))
    print(written.read_text(encoding="utf-8"))
    print(f"Written: {written}, and beside it .json and .svg", file=sys.stderr)
    missed = [bar for bar in result["bars"] if bar["met"] is False]
    return 1 if options.enforce and missed else 0


def _options() -> argparse.Namespace:
    def names(text: str) -> set[str]:
        return set(filter(None, text.split(",")))

    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="quick")
    parser.add_argument("--stage", type=names, default=set(), help="stages or measures, separated by commas")
    parser.add_argument("--only", type=names, default=set(), help="contenders, separated by commas")
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a measured bar is missed")
    parser.add_argument("--output", help="where to write, without an ending; default bench/results/<date>")
    return parser.parse_args()


def measured(profile: Profile, stage_names: set[str], only: set[str]) -> dict[str, Any]:
    """Start all that takes part, measure, stop everything; the result as it is written to the JSON file."""
    todo = plan.chosen(stages.steps(profile), stage_names, crowds=profile.crowds)
    contenders = _taking_part(todo, only)
    described, began = machine.describe(), datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        shared = running.set_up(Path(folder))
        present, absent = running.start(shared, contenders, stack, answers=stages.answers)
        print(f"measuring {', '.join(one.name for one in present)}", file=sys.stderr)
        taken = plan.take(todo, present)
    medians = taken.medians()
    return {
        "date": began.isoformat(timespec="seconds"),
        "profile": profile.name,
        "seconds": round((datetime.now(UTC) - began).total_seconds()),
        "machine": described | {"load_after": round(os.getloadavg()[0], 2)},
        "versions": machine.versions(),
        "contenders": {one.name: one.title for one in CONTENDERS},
        "absent": absent,
        "failures": taken.failures,
        "bars": bars.verdicts(medians),
        "medians": medians,
        "rounds": taken.rounds,
    }


def _taking_part(todo: list[plan.Step], only: set[str]) -> list[Contender]:
    """Those that some step measures: nobody else is started. Raises SystemExit: a name is none."""
    known = {one.name for one in CONTENDERS}
    if unknown := only - known:
        raise SystemExit(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(sorted(known))}")
    measured_ones = [one for one in CONTENDERS if any(step.of(one) for step in todo)]
    return [one for one in measured_ones if not only or one.name in only]


def write(result: dict[str, Any], stem: Path) -> Path:
    """The JSON, the plot and the Markdown that shows it; returns the Markdown file."""
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot.draw(result, stem.with_suffix(".svg"))
    markdown = stem.with_suffix(".md")
    markdown.write_text(report.markdown(result, plot=stem.with_suffix(".svg").name), encoding="utf-8")
    return markdown


if __name__ == "__main__":
    sys.exit(main())
