"""What clients read of what another broker's publishers said, whatever that was."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

WRAPPED = "bridge.message"


def events_of(payload: bytes, *, bridge: str, source: str) -> Iterator[Mapping[str, Any]]:
    """What the payload may become, what is best first; the first that can be published is the event.

    A JSON object with a text `type` is an event as it stands. Anything else is wrapped:
    `{"type": "bridge.message", "bridge": …, "source": …}` and `data` for other JSON, `text` for other text,
    `base64` for what is no UTF-8.
    """
    wrapped = {"type": WRAPPED, "bridge": bridge, "source": source}
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        yield wrapped | {"base64": base64.b64encode(payload).decode()}
        return
    try:
        data = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        pass
    else:
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            yield data
        yield wrapped | {"data": data}
    yield wrapped | {"text": text}


def _no_json(name: str) -> NoReturn:
    """Python reads NaN and Infinity; no client does."""
    raise ValueError(f"{name} is no JSON")
