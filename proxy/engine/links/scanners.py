"""Which scanner follows which direction of a splice."""

from __future__ import annotations

import os
from typing import Any

from proxy.core.wire.dropping import DroppingScanner
from proxy.core.wire.frames import Scanner
from proxy.core.wire.messages import MessageScanner

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was built without its C extension
    from websockets.utils import apply_mask

__all__ = ["PONG_PREFIX", "apply_mask", "scanner"]

# What our pings carry and their pongs begin with. Random, so that gateways in a row swallow their own pongs
# only.
PONG_PREFIX = b"sg" + os.urandom(6)


def scanner(
    *,
    masked: bool,
    max_message_bytes: int,
    inspected: bool,
    compressed: bool,
    diverts: bool = False,
    drops: bool = False,
) -> Scanner | MessageScanner:
    """`masked`: of the client. `diverts`: its control messages are taken out; `drops`: others may be, too."""
    rules: dict[str, Any] = {
        "masked": masked,
        "max_message_bytes": max_message_bytes,
        "pong_prefix": PONG_PREFIX,
        "apply_mask": apply_mask,
    }
    if inspected:
        return MessageScanner(**rules)
    return (DroppingScanner if drops else Scanner)(**rules, allow_rsv1=compressed, diverts=diverts)
