"""This host: how many files may be open, who listens at our port, what time it is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import platform
import socket
import time
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from proxy.checks.running import check_files_are_enough
from proxy.core.findings import Finding, failed, ok, warning
from proxy.doctor.trial import in_thread
from proxy.server import listening

_READY_SECONDS = 3.0
_MOST_BYTES = 64 * 1024


async def look_at_host() -> Sequence[Finding]:
    now, zone = datetime.now(UTC), time.tzname[0]
    seen = f"{socket.gethostname()}, Python {platform.python_version()}, {now:%Y-%m-%d %H:%M:%S} UTC"
    return [ok("host", seen if zone == "UTC" else f"{seen}, its zone is {zone}")]


async def look_at_files() -> Sequence[Finding]:
    most, files = settings.MAX_CONNECTIONS, listening.most_files()
    for told in check_files_are_enough():
        judged = failed if told.is_serious() else warning
        return [judged("open files", f"({told.id}) {told.msg}", told.hint or "")]
    return [ok("open files", f"{files:,} may be open; {most:,} links take {listening.files_for(most):,}")]


async def look_at_port() -> Sequence[Finding]:
    """Whether `serve` could listen, or this gateway does already."""
    host, port = settings.GATEWAY_HOST, settings.GATEWAY_PORT
    at = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    problem = _problem(host, port)
    if problem is None:
        return [ok("port", f"{at} is free: nothing serves there yet")]
    if problem != errno.EADDRINUSE:
        hint = "Correct GATEWAY_HOST and GATEWAY_PORT; ports below 1024 may need a capability."
        return [failed("port", f"{at}: {os.strerror(problem)}", hint)]
    try:
        ready = await asyncio.wait_for(in_thread(lambda: _ready(host, port)), _READY_SECONDS)
    except (OSError, ValueError):  # TimeoutError is the first
        hint = "Find out what it is (ss -ltnp), or set another GATEWAY_PORT."
        return [failed("port", f"{at} is taken, by what is no gateway or does not answer", hint)]
    if ready.get("ready"):
        return [ok("port", f"{at} is served by a gateway, which is ready")]
    amiss = ", ".join(sorted(name for name, value in ready.items() if value is False and name != "draining"))
    seen = f"{at} is served by a gateway, which is not ready{f': {amiss}' if amiss else ''}"
    return [warning("port", seen, "It drains, or lacks what other lines say; its log has when that began.")]


def _problem(host: str, port: int) -> int | None:
    try:
        with socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1
        ):
            return None
    except OSError as error:
        return error.errno if error.errno and error.errno > 0 else errno.EADDRNOTAVAIL


def _ready(host: str, port: int) -> dict[str, Any]:
    """What GET /ready answers. Raises OSError; ValueError for what is no gateway."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AnyStatus())
    with opener.open(f"http://{local}:{port}/ready", timeout=_READY_SECONDS) as answer:
        told = json.loads(answer.read(_MOST_BYTES))
    if not isinstance(told, dict) or not isinstance(told.get("ready"), bool):
        raise ValueError("no gateway")
    return told


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """503 is an answer, too."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response
