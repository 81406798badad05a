"""`python -m config.testing.again STATUS`: plays once more, by itself, what a run of pytest failed.

Of thousands of tests that share a machine's processors, one fails now and then for no reason of the change at
hand. That is a defect, of the test or of the product, and named as one; but no verdict on the change. Where
more than a few fail, or the run broke off (STATUS, pytest's own, is not 1), nothing is played again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 3


def failed_before(root: Path) -> list[str]:
    """The ids of the tests that failed, as pytest's cache has them."""
    noted = root / ".pytest_cache/v/cache/lastfailed"
    return sorted(json.loads(noted.read_text())) if noted.exists() else []


def main(status: int) -> int:
    """Exit code 0 where all of them pass now."""
    failed = failed_before(Path.cwd())
    if status != 1 or not failed:
        return status or 1
    if len(failed) > MOST:
        _say(f"{len(failed)} tests failed; only up to {MOST} are played again.")
        return status
    _say("=== What failed, once more, by itself ===")
    everything = ("-m", "")  # by name, whatever a run without markers leaves out
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *everything, *failed]
    again = subprocess.run(command, check=False)
    outcome = "and again" if again.returncode else "but not by itself: a defect to be mended"
    for name in failed:
        _say(f"FAILED beside others, {outcome}: {name}")
    return again.returncode


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
