"""Which fields the code gives to its log lines, read from the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from config.testing.starts import BASE_DIR

ROOMS = ("config", "experience", "proxy")
NO_PRODUCT = {"tests", "testing", "attack", "migrations", "conftest.py"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def of_code() -> set[str]:
    """Every name that is given as a part of `extra`, through variables, properties and functions, too."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in _sources()]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)]
    extras = [(within, extra) for within in functions for extra in _extras(within)]
    named = {name for within, extra in extras for tree in (extra, within) for name in _called(tree)}
    fields = {field for within, extra in extras for field in _fields_of(extra, within)}
    fields |= {key for each in functions if each.name in named for key in _keys(each)}
    return fields | set(_of_wrappers(trees, extras))


def _sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from (
            path
            for path in (BASE_DIR / room).rglob("*.py")
            if not NO_PRODUCT & set(path.relative_to(BASE_DIR).parts)
        )


def _extras(within: Function) -> Iterator[ast.expr]:
    for node in ast.walk(within):
        if isinstance(node, ast.Call):
            yield from (each.value for each in node.keywords if each.arg == "extra")


def _called(tree: ast.AST) -> Iterator[str]:
    """What makes fields for it: `fields_of` of `fields_of(row)`, `log_fields` of `link.log_fields`."""
    for node in ast.walk(tree):
        name = getattr(node, "attr", getattr(node, "id", ""))
        if name.endswith(("_fields", "fields_of")):
            yield name


def _fields_of(extra: ast.expr, within: Function) -> Iterator[str]:
    yield from _keys(extra)
    variables = {node.id for node in ast.walk(extra) if isinstance(node, ast.Name)}
    for node in ast.walk(within):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id in variables for each in targets):
                yield from _keys(node.value)


def _keys(tree: ast.AST) -> Iterator[str]:
    """Those of the dictionaries that `tree` writes down; no documentation, no nested text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            values = (key.value for key in node.keys if isinstance(key, ast.Constant))
            yield from (value for value in values if isinstance(value, str))


def _of_wrappers(trees: Iterable[ast.AST], extras: Iterable[tuple[Function, ast.expr]]) -> Iterator[str]:
    """Where a function logs its own keyword arguments (`**extra`): what it is called with."""
    wrappers = set()
    for within, extra in extras:
        if within.args.kwarg is not None and within.args.kwarg.arg in ast.unparse(extra):
            wrappers.add(within.name)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in wrappers:
                yield from (each.arg for each in node.keywords if each.arg is not None)
