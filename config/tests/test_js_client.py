"""clients/js: its own tests, and its table of closes beside the gateway's."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from config.testing import documents
from config.testing.starts import BASE_DIR
from config.tests.clients.page import JS_DIR, needs_node
from proxy.core.closes import MEANINGS, ComeBack

pytestmark = needs_node

WORDS = {
    "no": ComeBack.NO,
    "backoff": ComeBack.BACKOFF,
    "when told": ComeBack.WHEN_TOLD,
    "fresh token": ComeBack.FRESH_TOKEN,
}
# Never the gateway's own: nobody closed (1005, 1006), or a service gave up for a while.
OTHERS = {1005: ComeBack.BACKOFF, 1006: ComeBack.BACKOFF} | dict.fromkeys(
    (1012, 1013, 1014), ComeBack.BACKOFF
)


def evaluated(expression: str) -> Any:
    """What it is in Node, where everything that sluicegate.js exports has its name."""
    names = "const { CLOSES, delaySeconds, toldSeconds }"
    script = (
        f"{names} = await import('{JS_DIR / 'sluicegate.js'}'); console.log(JSON.stringify({expression}))"
    )
    command = ["node", "--input-type=module", "-e", script]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_its_table_of_closes_is_the_gateways() -> None:
    told = {int(code): WORDS[comeback] for code, comeback in evaluated("CLOSES").items()}
    assert told == {code: meaning.come_back for code, meaning in MEANINGS.items()} | OTHERS


def test_it_reads_every_wait_that_the_document_shows() -> None:
    shown = {
        "restart; retry in 1870 ms": 1.87,
        "too many connections of one user, at most 5; retry in 5000 ms": 5.0,
    }
    assert all(reason in documents.read("protocol.md") for reason in shown)
    for reason, seconds in shown.items():
        assert evaluated(f"toldSeconds({{code: 4013, reason: {json.dumps(reason)}}})") == seconds


def test_its_own_tests_pass() -> None:
    """Those that need nothing of npm."""
    files = (f"clients/js/tests/{name}.test.js" for name in ("socket", "tickets", "follower"))
    played = subprocess.run(
        ["node", "--test", *files],
        cwd=BASE_DIR, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout
