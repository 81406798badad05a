"""docs/security.md says of each attack what `make attack` runs, and each of those is a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from config.attack.__main__ import Cases, count, numbers
from config.attack.attacks import SECTIONS, Attack
from config.attack.document import BEGIN, DOCUMENT, END
from config.testing.starts import BASE_DIR

ATTACKS = [attack for attacks in SECTIONS.values() for attack in attacks]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.test.rpartition("::")[2])
def test_every_attack_is_a_test(attack: Attack) -> None:
    path, _, name = attack.test.partition("::")
    tree = ast.parse((BASE_DIR / path).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


def test_the_document_lists_every_attack_and_none_got_through() -> None:
    table = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.endswith("` |")]
    assert [(row[0].removeprefix("| "), row[3].strip("`| ")) for row in rows] == [
        (attack.tried, attack.test.rpartition("::")[2]) for attack in ATTACKS
    ]
    assert all(int(row[1]) > 0 for row in rows)
    assert "got through" not in table


def test_an_attack_that_is_run_again_is_no_further_case(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    case = '<testcase classname="config.tests.test_truth" name="test_it[{}]">{}</testcase>'
    tried, failed = Cases(set), Cases(set)

    for outcome in ("", "<failure/>", ""):
        report.write_text(f"<testsuite>{case.format('one', '')}{case.format('two', outcome)}</testsuite>")
        count(report, tried, failed)

    test = "config/tests/test_truth.py::test_it"
    assert (numbers(tried), numbers(failed)) == ({test: 2}, {test: 1})
