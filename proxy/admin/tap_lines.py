"""Lines of a tap as a page says them; proxy/static/proxy/tap.js says the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# What is told of messages that are not shown, by why, and what a page says before their number.
UNSEEN = {
    "left_out": "Left out, as too many or too much at once:",
    "dropped": "Dropped for the client's rate, so they went no further and are not shown:",
    "kept_back": "Kept back by the policy of the route, so they went no further and are not shown:",
}
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


def unseen_of(told: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Its name, the words for it and how many, of each; an older node does not tell all of them."""
    return [(name, words, told.get(name) or 0) for name, words in UNSEEN.items()]


def _bytes(count: int) -> str:
    return f"{count:,} {'byte' if count == 1 else 'bytes'}"
