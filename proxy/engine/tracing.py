"""Spans of handshakes, by OpenTelemetry: docs/tracing.md. Imported only where somebody wants them.

Spans wait in the SDK's bounded queue, and a thread of its own ships them: a collector that is slow or away
costs spans, never a client. Nothing of a token, a query or a header is in one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy import metrics
from proxy.engine.calls import in_own_thread, wait_at_most

DIAL = "dial"
_END_SECONDS = 2.0
_MOST_AT_ONCE = 512
_propagator = TraceContextTextMapPropagator()
_BY_NAME = {
    "always_on": ALWAYS_ON,
    "always_off": ALWAYS_OFF,
    "parentbased_always_on": DEFAULT_ON,
    "parentbased_always_off": DEFAULT_OFF,
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Where spans go, and how. URL and headers may hold secrets."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_seconds: float

    def exporter(self) -> OTLPSpanExporter:
        return OTLPSpanExporter(endpoint=self.url, headers=dict(self.headers), timeout=self.timeout_seconds)

    def takes_spans(self) -> bool:
        """Whether it takes a message without any; waits for it, or until its time is over."""
        exporter = self.exporter()
        try:
            return exporter.export([]) is SpanExportResult.SUCCESS
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]


def sampler(name: str, share: float) -> Sampler:
    """The one that OTEL_TRACES_SAMPLER names; some keep that share of traces."""
    if name == "traceidratio":
        return TraceIdRatioBased(share)
    if name == "parentbased_traceidratio":
        return ParentBasedTraceIdRatio(share)
    return _BY_NAME[name]


class Telling(SpanExporter):
    """Counts what `inner` cannot ship, and says once that the collector is away, and once that it is back.

    In place of the SDK's own lines, which are many, and hold the URL and what stands in it.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """In the thread that ships."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                logger.warning("spans are not taken by the collector")
            self._lost += len(spans)
            metrics.SPANS_LOST_TOTAL.inc(len(spans))
        elif self._lost:
            logger.info("spans are taken again", extra={"dropped": self._lost})
            self._lost = 0
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class Batches(BatchSpanProcessor):
    """The SDK's, which drops the oldest of those that wait when there are too many; here they are counted."""

    def on_end(self, span: ReadableSpan) -> None:
        batch = self._batch_processor
        if span.context is not None and span.context.trace_flags.sampled:
            metrics.SPANS_LOST_TOTAL.inc(len(batch._queue) == batch._max_queue_size)
        super().on_end(span)


class Tracing:
    """What a node makes spans with. `most_waiting` of them wait, so long, until they are shipped."""

    def __init__(
        self,
        collector: Collector,
        *,
        service: str,
        node_id: str,
        sampler: Sampler,
        most_waiting: int,
        delay_milliseconds: int,
    ) -> None:
        resource = Resource.create({"service.name": service, "service.instance.id": node_id})
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self._provider.add_span_processor(
            Batches(
                Telling(collector.exporter()),
                max_queue_size=most_waiting,
                max_export_batch_size=min(_MOST_AT_ONCE, most_waiting),
                schedule_delay_millis=delay_milliseconds,
            )
        )
        self._tracer = self._provider.get_tracer("sluicegate")

    def handshake(self, *, route: str, request_id: str, traceparent: str) -> HandshakeTrace:
        """A handshake begins, as a part of the trace that `traceparent` names; "": of a new one."""
        parent = _propagator.extract({"traceparent": traceparent}, Context())
        attributes = {"sluicegate.route": route, "sluicegate.request_id": request_id}
        span = self._tracer.start_span(
            "handshake", context=parent, kind=SpanKind.SERVER, attributes=attributes
        )
        return HandshakeTrace(self._tracer, span)

    async def stop(self) -> None:
        """Ship what waits, for two seconds at most; the rest is lost."""
        await wait_at_most(_END_SECONDS, in_own_thread(self._provider.shutdown, name="traces-end"))


class HandshakeTrace:
    """One handshake's span, and those of its steps."""

    __slots__ = ("_span", "_step", "_tracer")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer, self._span, self._step = tracer, span, span

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """What a service is told: the trace, and the step that asks it (W3C Trace Context, section 3.2)."""
        context = self._step.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is done meanwhile; what it raises is named by its class alone."""
        of_handshake = set_span_in_context(self._span, Context())
        kind = SpanKind.CLIENT if name == DIAL else SpanKind.INTERNAL
        self._step = self._tracer.start_span(name, context=of_handshake, kind=kind)
        try:
            yield
        except BaseException as error:
            self._step.set_attribute("error.type", type(error).__name__)
            self._step.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            self._step.end()
            self._step = self._span

    def to(self, member: str, connection_id: str) -> None:
        """What is behind the link is open."""
        self._span.set_attributes({"sluicegate.upstream": member, "sluicegate.connection_id": connection_id})

    def end(self, outcome: str, *, failed: bool) -> None:
        """It has been answered; `failed`: and that was the gateway's or a service's fault."""
        self._span.set_attribute("sluicegate.outcome", outcome)
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
