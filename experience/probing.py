"""How the services behind the routes are probed, from settings."""

from __future__ import annotations

from django.conf import settings

from proxy.core.pools.health import Probe, ProbeKind


def probe_of(kind: str, *, path: str, seconds: float, default_path: str = "/") -> Probe | None:
    """The probe of a pool; None for the kind `none`. An HTTP probe without a path asks for `/health`."""
    if kind == "none":
        return None
    return Probe(
        kind=ProbeKind(kind),
        path=path or ("/health" if kind == "http" else ""),
        default_path=default_path,
        interval_seconds=seconds,
        failing_seconds=min(2.0, seconds),
        timeout_seconds=min(3.0, settings.DIAL_TIMEOUT_SECONDS),
    )
