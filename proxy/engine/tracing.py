"""Spans of handshakes, by OpenTelemetry: docs/tracing.md. Imported only where somebody wants them.

Spans wait in the SDK's bounded queue, and a thread of its own ships them: a collector that is slow or away
costs spans, never a client. Nothing of a token, a query or a header is in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.engine.calls import in_own_thread, wait_at_most

DIAL = "dial"
_END_SECONDS = 2.0
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """What a node makes spans with. Sampling, queue and headers are as the standard OTEL_… variables say."""

    def __init__(self, *, endpoint: str, service: str, node_id: str) -> None:
        resource = Resource.create({"service.name": service, "service.instance.id": node_id})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
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
