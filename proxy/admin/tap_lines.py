"""Lines of a tap as a page says them; proxy/static/proxy/tap.js says the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_WAYS = {"in": "from client", "out": "to client"}


def shown(line: Mapping[str, Any]) -> dict[str, str]:
    """For a template, which escapes it."""
    return {"way": "in" if line["way"] == "in" else "out", "head": head_of(line), "text": line["text"]}


def head_of(line: Mapping[str, Any]) -> str:
    """When, which way, what and how large."""
    when = datetime.fromtimestamp(line["at"], UTC).strftime("%H:%M:%S.%f")[:12]
    parts = [when, _WAYS[line["way"]], line["kind"], _bytes(line["size"])]
    if line["wire"]:
        parts.append(f"{_bytes(line['wire'])} compressed")
    if line["cut"]:
        parts.append("cut")
    if line["left_out"]:
        parts.append(f"{line['left_out']:,} left out before")
    return " · ".join(parts)


def _bytes(count: int) -> str:
    return f"{count:,} {'byte' if count == 1 else 'bytes'}"
