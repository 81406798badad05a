from __future__ import annotations

import sys
from pathlib import Path

import pytest

from config.testing.starts import run

pytestmark = pytest.mark.long

TWO_TESTS = """
def test_that_is_right():
    pass

def test_that_is_wrong_at_times(time_played):
    assert time_played not in (1, 3)
"""


@pytest.mark.timeout(120)  # it starts pytest three times
def test_it_says_which_test_failed_how_often(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "test_two.py").write_text(TWO_TESTS)
    words = [
        "-m",
        "pytest",
        "-p",
        "config.testing.stress",
        "-p",
        "no:django",
        "-c",
        str(tmp_path / "pytest.ini"),
    ]
    played = run([sys.executable, *words, "--times", "5", "-n", "2", str(tmp_path)], env={}, timeout=100)

    assert played.returncode == 1
    assert (
        "test_two.py::test_that_is_wrong_at_times failed 2 of 5 times\n2 tests, 1 of which failed"
        in played.stdout
    )
