"""proxy.api: what it names is there, and needs no settings to be imported."""

from __future__ import annotations

import subprocess
import sys

from config.testing.starts import BASE_DIR
from proxy import api


def test_every_name_is_there_once() -> None:
    assert len(set(api.__all__)) == len(api.__all__) > 30
    assert [name for name in api.__all__ if not hasattr(api, name)] == []


def test_it_can_be_imported_before_there_are_settings() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import proxy.api"], cwd=BASE_DIR, env={}, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
