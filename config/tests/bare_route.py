"""The least that a route says."""

from proxy.core.routes import Route, Upstream

ROUTE = Route(name="bare", paths=("bare",), upstream=Upstream.of("bare", "ws://127.0.0.1:9"))
