"""The scripts of the Live page: their own tests, and the library they draw with, as its makers publish it."""

from __future__ import annotations

import hashlib
import subprocess

from config.testing.starts import BASE_DIR
from config.tests.clients.page import needs_node

VENDORED = BASE_DIR / "proxy" / "static" / "proxy" / "vendor"


@needs_node
def test_the_pure_parts_of_its_scripts_pass_their_own_tests() -> None:
    played = subprocess.run(
        ["node", "--test", "proxy/admin/tests/live_page.test.js"],
        cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout


def test_what_is_vendored_is_what_its_sums_say_with_a_licence_and_nothing_beside_it() -> None:
    for directory in VENDORED.iterdir():
        lines = (directory / "SHA256SUMS").read_text().splitlines()
        told = {name: digest for digest, name in (line.split("  ") for line in lines)}
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}
        del found["SHA256SUMS"]
        assert found == told
        assert "LICENSE" in found
