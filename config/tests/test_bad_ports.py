"""A port that no system has ends the start of whatever listens with one line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a gateway whose database is there."""
    database = tmp_path_factory.mktemp("bad_ports") / "x.sqlite3"
    env = {**os.environ, "SECRET_KEY": "s" * 64, "DATABASE_URL": f"sqlite:///{database}"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"], cwd=settings.BASE_DIR, env=env, check=True
    )
    return env


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--port", "99999"],
        ["serve", "--port", "-1"],
        ["serve", "--fd", "-5"],
        ["kbservice", "--port", "99999"],
        ["studioservice", "--port", "99999"],
        ["chatservice", "--port", "99999"],
    ],
    ids=" ".join,
)
def test_a_port_that_is_none_is_one_line_and_a_failure(words: list[str], env: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "CommandError: cannot listen" in ended.stdout + ended.stderr
