"""What holds for every file that is kept, documents first of all."""

from __future__ import annotations

import re
import subprocess

from config.testing.program import BASE_DIR

# Spelled so that this file holds none itself. A line of "=" alone is a heading in some files.
CONFLICT = re.compile(rb"^(<{7}|\|{7}|>{7})( |$)", re.MULTILINE)


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=BASE_DIR, check=True, capture_output=True, text=True
    )
    return [name for name in listed.stdout.split("\0") if (BASE_DIR / name).is_file()]


def test_no_tracked_file_holds_a_conflict_that_was_not_resolved() -> None:
    names = tracked()
    assert "README.md" in names
    assert [name for name in names if CONFLICT.search((BASE_DIR / name).read_bytes())] == []
