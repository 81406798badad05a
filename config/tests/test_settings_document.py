"""docs/settings.md names what `manage.py check` may say."""

from __future__ import annotations

import re

from config.testing import documents
from config.testing.starts import BASE_DIR

ROOMS = ("config", "experience", "proxy")


def test_every_check_is_documented_and_nothing_else() -> None:
    sources = [
        path
        for room in ROOMS
        for path in (BASE_DIR / room).rglob("*.py")
        if not {"tests", "testing"} & set(path.parts)
    ]
    of_code = {
        found for path in sources for found in re.findall(r"\"(gateway\.[EWI]\d{3})\"", path.read_text())
    }
    rows = documents.table(documents.read("settings.md"), "check", "says")

    assert len(of_code) > 10
    assert sorted(identity for identity, _ in rows) == sorted(of_code)
