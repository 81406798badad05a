"""The tables of docs/security.md, between the lines that mark them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.attack.attacks import SECTIONS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- attacks: written by `make attack` -->\n", "<!-- end of attacks -->\n"


def write_tables(tried: Mapping[str, int], failed: Mapping[str, int]) -> None:
    """Put what was tried, and how often, into the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + BEGIN + tables(tried, failed) + END + after)


def tables(tried: Mapping[str, int], failed: Mapping[str, int]) -> str:
    lines: list[str] = []
    for section, attacks in SECTIONS.items():
        lines += ["", f"### {section}", "| tried | cases | what happens | test |", "|---|---|---|---|"]
        for attack in attacks:
            name = attack.test.rpartition("::")[2]
            got_through = failed.get(attack.test, 0)
            happens = f"**{got_through} got through** " * bool(got_through) + attack.happens
            lines.append(f"| {attack.tried} | {tried.get(attack.test, 0)} | {happens} | `{name}` |")
    return "\n".join([*lines, "", ""])
