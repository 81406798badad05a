"""Run every attack, and write the table of docs/security.md: `python -m config.attack [--times N]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from config.attack.attacks import SECTIONS, Attack
from config.attack.document import write_tables

BASE_DIR = Path(__file__).resolve().parents[2]
Cases = defaultdict[
    str, set[str]
]  # the names of a test's cases, by its id: one that runs again is the same case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="run each attack so often")
    times = parser.parse_args().times
    tried, failed = Cases(set), Cases(set)
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            run_tests(report)
            count(report, tried, failed)
    write_tables(numbers(tried), numbers(failed))
    missing = [attack.test for attack in all_attacks() if attack.test not in tried]
    summary = f"{sum(numbers(tried).values())} cases, each tried {times} x, "
    sys.stdout.write(f"{summary}{sum(numbers(failed).values())} got through\n")
    for test in (*missing, *failed):
        sys.stdout.write(f"  {test}: {'did not run' if test in missing else 'got through'}\n")
    return 1 if missing or failed else 0


def all_attacks() -> list[Attack]:
    return [attack for attacks in SECTIONS.values() for attack in attacks]


def run_tests(report: Path) -> None:
    tests = [attack.test for attack in all_attacks()]
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *tests]
    subprocess.run(command, cwd=BASE_DIR, check=False)  # noqa: S603  our own words


def count(report: Path, tried: Cases, failed: Cases) -> None:
    """Add the cases of each test, and those that failed."""
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  pytest's own report
        path, name = case.attrib["classname"].replace(".", "/") + ".py", case.attrib["name"]
        test = f"{path}::{name.partition('[')[0]}"
        if case.find("skipped") is None:
            tried[test].add(name)
        if case.find("failure") is not None or case.find("error") is not None:
            failed[test].add(name)


def numbers(cases: Cases) -> dict[str, int]:
    return {test: len(names) for test, names in cases.items()}


if __name__ == "__main__":
    sys.exit(main())
