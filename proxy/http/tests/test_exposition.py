"""How often the metrics are computed, whoever asks for them."""

from __future__ import annotations

import time

from proxy import metrics
from proxy.http.exposition import COMPUTED, Exposition


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
