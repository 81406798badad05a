"""What the applications of the server under test note; the tests ask for it over HTTP."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

SEEN: defaultdict[str, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
COUNTS: dict[str, int] = {}
STATE = {"ready": True, "drained_by_staff": False}


def count(what: str) -> None:
    COUNTS[what] = COUNTS.get(what, 0) + 1


def report(query: dict[str, str], event: dict[str, Any]) -> None:
    if "key" in query:
        SEEN[query["key"]].put_nowait(event)
