"""How often the metrics are computed, whoever asks for them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import metrics
from proxy.http.exposition import COMPUTED, Exposition, exposition

# Its loop beats, until somebody says a word: then it looks for a match, for hours, and lets no thread run.
WORKER = """
import asyncio, re, sys
from proxy.engine.lag import LoopLag

async def main():
    measuring = asyncio.create_task(LoopLag(interval_seconds=0.05).run())
    await asyncio.sleep(0)
    print("beats", flush=True)
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: re.match("(a+)+$", "a" * 60 + "b"))
    await measuring

asyncio.run(main())
"""


def crashes(text: bytes, work: str) -> bool:
    return f'work="{work}"'.encode() in text


def test_who_scrapes_calmly_gets_the_metrics_of_this_moment() -> None:
    exposition, now = Exposition(), time.monotonic()
    for number in range(30):
        metrics.BACKGROUND_CRASHES_TOTAL.labels(f"calm-{number}").inc()
        assert crashes(exposition.text(now + number), f"calm-{number}")


def test_a_flood_of_scrapes_gets_what_was_computed_within_half_a_second() -> None:
    exposition, now = Exposition(), time.monotonic()
    texts = {id(exposition.text(now)) for _ in range(1_000)}
    assert len(texts) <= COMPUTED.count
    metrics.BACKGROUND_CRASHES_TOTAL.labels("flooded").inc()
    assert not crashes(exposition.text(now + 0.1), "flooded")
    assert crashes(exposition.text(now + 0.5), "flooded")


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"beats\n"  # before that its files may be there, and empty
        yield process
    finally:
        process.kill()
        process.communicate()


def beaten_at() -> dict[str, float]:
    """Of each process that has begun to beat."""
    return {
        sample.labels["pid"]: sample.value
        for family in text_string_to_metric_families(exposition().decode())
        for sample in family.samples
        if sample.name == "gateway_websocket_loop_beaten_at_seconds" and sample.value > 0
    }


def test_a_worker_whose_loop_is_held_stands_still_in_what_its_siblings_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with worker() as held, worker() as well:
        ends = time.monotonic() + 30
        assert set(beaten_at()) == {str(held.pid), str(well.pid)}
        assert held.stdin is not None
        held.stdin.write(b"a word")
        held.stdin.flush()
        while (beaten := beaten_at())[str(well.pid)] - beaten[str(held.pid)] < 1:
            assert time.monotonic() < ends
