"""How large this process is."""

from __future__ import annotations

import resource
from pathlib import Path


def resident_bytes() -> int:
    """What it holds of the machine's memory; asking takes some 30 µs."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()
