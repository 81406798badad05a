"""A port that no system has ends the start of whatever listens with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings


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
def test_a_port_that_is_none_is_one_line_and_a_failure(words: list[str], tmp_path: Path) -> None:
    env = {**os.environ, "SECRET_KEY": "s" * 64, "DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite3'}"}
    if words[0] in {"serve", "chatservice"}:
        migrate = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(migrate, cwd=settings.BASE_DIR, env=env, check=True)
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
