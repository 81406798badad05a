"""`make stress`: tests whose assertions are about time, many times, while other programs want the processors.

A plugin of pytest: `pytest -p config.testing.stress --times 50 -m timing` plays what is selected so often,
with a busy loop for each processor beside it, and says at the end which test failed how often.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

# Until whoever started it has gone.
BUSY_LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"


class Load:
    """One busy loop for each processor, from the first test to the last."""

    def __init__(self) -> None:
        self._loops: list[subprocess.Popen[bytes]] = []

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        command = [sys.executable, "-c", BUSY_LOOP, str(os.getpid())]
        self._loops = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        for loop in self._loops:
            loop.kill()
            loop.wait()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", type=int, default=50, help="How often each test is played under load.")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of xdist's processes, the one that all others belong to
        config.pluginmanager.register(Load())


@pytest.fixture
def time_played(request: pytest.FixtureRequest) -> int:
    """Which of `--times` this is."""
    number: int = request.param
    return number


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.fixturenames.append("time_played")
    times = range(metafunc.config.getoption("times"))
    metafunc.parametrize("time_played", times, ids=lambda number: f"time-{number}", indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Each test that failed, and how often."""
    played, failed = Counter[str](), Counter[str]()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            test = re.sub(r"-?time-\d+", "", report.nodeid).replace("[]", "")
            played[test] += report.when == "call"
            failed[test] += outcome != "passed"
    terminalreporter.section("under load")
    for test, count in (+failed).most_common():
        terminalreporter.line(f"{test} failed {count} of {played[test]} times")
    terminalreporter.line(f"{len(played)} tests, {len(+failed)} of which failed")
