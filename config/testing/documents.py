"""Examples and tables of our own documents, for tests that hold them to what runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from config.testing.starts import BASE_DIR


@dataclass(frozen=True, slots=True)
class Example:
    """One fenced block: its language, what it is (the words behind the language, "" for none), its text."""

    language: str
    kind: str
    text: str

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.text)
        return fields


def read(name: str) -> str:
    """The document `docs/NAME`."""
    return (BASE_DIR / "docs" / name).read_text(encoding="utf-8")


def examples(document: str) -> Iterator[Example]:
    for language, kind, text in re.findall(
        r"^```(\w+) ?([^\n]*)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL
    ):
        yield Example(language, kind, text.strip())


def table(document: str, *head: str) -> list[tuple[str, ...]]:
    """The rows of the table with that head, cells stripped of blanks and code marks."""
    lines = document.splitlines()
    start = next(at for at, line in enumerate(lines) if _cells(line) == head)
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(_cells(line))
    return rows


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|"))
