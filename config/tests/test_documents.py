"""What holds for every file that is kept, documents first of all."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from config.testing.starts import BASE_DIR

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


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_of_a_document_leads_to_a_file_and_heading_that_exist() -> None:
    documents = [BASE_DIR / name for name in tracked() if name.endswith(".md")]
    assert len(documents) > 20
    for document in documents:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            there = document.parent / path if path else document
            assert there.exists(), (document.name, target)
            assert not anchor or anchor in anchors(there), (document.name, target)


def test_every_page_is_in_the_index() -> None:
    index = (BASE_DIR / "docs/README.md").read_text()
    pages = [path.name for path in (BASE_DIR / "docs").glob("*.md") if path.name != "README.md"]
    assert len(pages) > 15
    assert [page for page in pages if f"]({page})" not in index] == []
