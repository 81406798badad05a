"""Our own objects are never false: "is it there?" and "is anything in it?" are two questions."""

from __future__ import annotations

import ast
from pathlib import Path

from config.testing.starts import BASE_DIR

ASKED_BY_TRUTH = {"__len__", "__bool__"}


def sources() -> list[Path]:
    folders = (BASE_DIR / name for name in ("proxy", "experience", "config"))
    return [path for folder in folders for path in folder.rglob("*.py") if "tests" not in path.parts]


def test_no_class_has_a_length_or_a_truth_of_its_own() -> None:
    """One that is empty would be taken for one that is not there; give it `count` or `is_empty`."""
    found = [
        f"{path.relative_to(BASE_DIR)}: {node.name}.{member.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef) and member.name in ASKED_BY_TRUTH
    ]
    assert found == []
