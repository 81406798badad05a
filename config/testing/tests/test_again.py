"""What failed is played once more by itself: what passes then is named, and what fails, or is much, fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.testing import again

pytestmark = pytest.mark.long

# Who plays no more than `pytest` leaves them out, as it does the real clients.
INI = """
[pytest]
addopts = -m 'not apart'
markers = apart
"""
# Fails as often as its file says.
TESTS = """
from pathlib import Path
import pytest

@pytest.mark.apart
@pytest.mark.parametrize("number", range({count}))
def test_it(number):
    left = Path(f"left-{{number}}")
    times = int(left.read_text()) if left.exists() else {times}
    left.write_text(str(times - 1))
    assert times <= 0
"""


def played(folder: Path, *, count: int = 1, times: int) -> tuple[int, str]:
    """The exit code and the output of a run of so many tests that fail so often, and of what comes behind."""
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_now_and_then.py").write_text(TESTS.format(count=count, times=times))
    without_django = {**os.environ, "PYTEST_ADDOPTS": "-p no:django"}
    without_django.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", ".", "--cache-clear", "-m", "apart"]
    first = subprocess.run(command, cwd=folder, env=without_django, check=False)
    assert first.returncode == (1 if times else 0)
    run = subprocess.run(
        [sys.executable, Path(again.__file__), str(first.returncode)],
        cwd=folder,
        env=without_django,
        check=False,
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout


@pytest.mark.parametrize(
    ("count", "times", "code", "said"),
    [
        (
            2,
            1,
            0,
            "but not by itself: a defect to be mended: test_now_and_then.py::test_it[1]",
        ),
        (1, 2, 1, "and again: test_now_and_then.py::test_it[0]"),
        (4, 1, 1, "4 tests failed; only up to 3 are played again."),
    ],
)
def test_what_failed_is_played_again(tmp_path: Path, count: int, times: int, code: int, said: str) -> None:
    exit_code, output = played(tmp_path, count=count, times=times)
    assert exit_code == code, output
    assert said in output


def test_a_run_that_broke_off_is_not_taken_for_one_that_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(tmp_path, times=1)
    monkeypatch.chdir(tmp_path)
    assert again.failed_before(tmp_path)
    assert again.main(2) == 2
