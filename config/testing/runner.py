"""`manage.py test` runs pytest, so that there is one suite and one way to run it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class PytestRunner:
    """Django's test runner interface over pytest-django.

    Labels are pytest's own (`proxy/core/wire/tests/test_frames.py::test_x`) or dotted (`proxy.core`).
    """

    def __init__(
        self,
        *,
        verbosity: int = 1,
        failfast: bool = False,
        keepdb: bool = False,
        keywords: str = "",
        **_ignored: Any,  # Django passes every option of its command line
    ) -> None:
        self._options = pytest_options(
            verbosity=verbosity, failfast=failfast, keepdb=keepdb, keywords=keywords
        )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("-k", dest="keywords", default="", metavar="EXPRESSION", help="As pytest's -k.")
        parser.add_argument("--keepdb", action="store_true", help="Keep the test database for the next run.")

    def run_tests(self, test_labels: Sequence[str], **_ignored: Any) -> int:
        """Run the labelled tests, or all; answers the number that `manage.py test` exits non-zero for."""
        import pytest

        return int(pytest.main([*self._options, *map(label_to_path, test_labels)]))


def pytest_options(*, verbosity: int, failfast: bool, keepdb: bool, keywords: str) -> list[str]:
    """pytest's command line for Django's options."""
    options = {0: ["-q"], 1: [], 2: ["-v"]}.get(verbosity, ["-vv"])
    return [
        *options,
        *(["--exitfirst"] if failfast else []),
        *(["--reuse-db"] if keepdb else []),
        *(["-k", keywords] if keywords else []),
    ]


def label_to_path(label: str) -> str:
    """`proxy.core` as `proxy/core`; what already is a path or a node id stays."""
    if "/" in label or "::" in label or label.endswith(".py"):
        return label
    path = label.replace(".", "/")
    return path if Path(path).is_dir() else f"{path}.py"
