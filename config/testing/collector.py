"""Receives spans by OTLP over HTTP, and reads them with OpenTelemetry's own messages."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True, slots=True)
class Received:
    """One span; ids in hexadecimal, `parent_id` "" of the first of a trace."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_client: bool
    is_error: bool
    seconds: float
    attributes: dict[str, str]

    @classmethod
    def of(cls, span: Span) -> Received:
        return cls(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            is_client=span.kind == Span.SPAN_KIND_CLIENT,
            is_error=span.status.code == Status.STATUS_CODE_ERROR,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            attributes={each.key: each.value.string_value for each in span.attributes},
        )


class Collector:
    """`bodies` are what was posted, `services` who sent it, `keys` what they showed as `x-api-key`.

    While `answers` is not set, it hangs. Of another `status` than 200 it takes nothing.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[Received] = []
        self.services: set[str] = set()
        self.keys: set[str | None] = set()
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        collector = self

        class Endpoint(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.answers.wait(timeout=60)
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.keys.add(self.headers["x-api-key"])
                if collector.status == 200:
                    collector._take(self.path, body)
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _take(self, path: str, body: bytes) -> None:
        assert path.partition("?")[0] == "/v1/traces"
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            said = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(said["service.name"])
            self.spans += [Received.of(span) for scope in resource.scope_spans for span in scope.spans]

    def trace(self, trace_id: str, *, within_seconds: float = 20) -> dict[str, Received]:
        """The spans of one trace by name, once its handshake has come: that ends last."""
        ends = time.monotonic() + within_seconds
        while time.monotonic() < ends:
            found = {span.name: span for span in tuple(self.spans) if span.trace_id == trace_id}
            if "handshake" in found:
                return found
            time.sleep(0.02)
        raise TimeoutError(trace_id)

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
