"""Run every attack, and write the table of docs/security.md: `python -m config.attack [--times N]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from config.attack.attacks import SECTIONS, Attack
from config.attack.document import write_tables

BASE_DIR = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="run each attack so often")
    times = parser.parse_args().times
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            run_tests(report)
            count(report, tried, failed)
    write_tables(tried, failed)
    missing = [attack.test for attack in all_attacks() if not tried[attack.test]]
    sys.stdout.write(f"{sum(tried.values())} tried, {sum(failed.values())} got through\n")
    for test in (*missing, *failed):
        sys.stdout.write(f"  {test}: {'did not run' if test in missing else 'got through'}\n")
    return 1 if missing or failed else 0


def all_attacks() -> list[Attack]:
    return [attack for attacks in SECTIONS.values() for attack in attacks]


def run_tests(report: Path) -> None:
    tests = [attack.test for attack in all_attacks()]
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *tests]
    subprocess.run(command, cwd=BASE_DIR, check=False)  # noqa: S603  our own words


def count(report: Path, tried: Counter[str], failed: Counter[str]) -> None:
    """Add up the cases of each test, by its id."""
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  pytest's own report
        path = case.attrib["classname"].replace(".", "/") + ".py"
        test = f"{path}::{case.attrib['name'].partition('[')[0]}"
        if case.find("skipped") is None:
            tried[test] += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed[test] += 1


if __name__ == "__main__":
    sys.exit(main())
