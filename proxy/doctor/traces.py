"""The collector of traces: does it take what nodes would ship?"""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.conf import settings

from proxy.core.findings import Finding, ok, warning
from proxy.core.human import milliseconds
from proxy.doctor.trial import address_of, in_thread

PART = "traces"
HINT = (
    "Does it speak OTLP over HTTP there, and take OTEL_EXPORTER_OTLP_HEADERS? Until then no traces are kept."
)
NEEDS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_MOST_SECONDS = 3.0


async def look() -> Sequence[Finding]:
    """A message without any span, as the gateway would post it. No client misses a collector."""
    from proxy.engine.tracing import Collector

    collector = Collector(
        url=settings.TRACES_ENDPOINT,
        headers=settings.OTEL_EXPORTER_OTLP_TRACES_HEADERS,
        timeout_seconds=min(_MOST_SECONDS, settings.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT),
    )
    at, began = address_of(collector.url), time.monotonic()
    if not await in_thread(collector.takes_spans):
        return [warning(PART, f"{at} does not take spans", HINT)]
    return [ok(PART, f"{at} took a message without spans in {milliseconds(time.monotonic() - began)}")]
