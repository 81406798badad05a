"""Which trace a handshake belongs to, where somebody wants traces; elsewhere there is none to look for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.conf import settings

from proxy.core.routes import Route
from proxy.node import GatewayNode
from proxy.socket.middleware import told_by_proxy

if TYPE_CHECKING:  # it is an extra
    from proxy.engine.tracing import HandshakeTrace

_NO_STEP = nullcontext()


def begin_trace(node: GatewayNode, scope: dict[str, Any], route: Route) -> None:
    """Leave the handshake's trace in its scope.

    A client chooses no trace, nor that one is kept: `traceparent` counts where settings say that the trusted
    proxies set it or take it away.
    """
    if node.tracing is None:
        return
    told = told_by_proxy(scope, b"traceparent") if settings.TRACEPARENT_FROM_PROXIES else ""
    scope["trace"] = node.tracing.handshake(
        route=route.name, request_id=scope["request_id"], traceparent=told
    )


def trace_of(scope: Any) -> HandshakeTrace | None:
    trace: HandshakeTrace | None = scope.get("trace")
    return trace


def step(scope: Any, name: str) -> AbstractContextManager[None]:
    """A span around one step of the handshake."""
    trace = trace_of(scope)
    return _NO_STEP if trace is None else trace.step(name)


def trace_fields(scope: Any) -> dict[str, str]:
    """What its log lines say of it."""
    trace = trace_of(scope)
    return {} if trace is None else {"trace_id": trace.trace_id}
