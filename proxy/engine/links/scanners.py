"""Which scanner follows which direction of a splice."""

from __future__ import annotations

import os

from proxy.core.wire.dropping import DroppingScanner
from proxy.core.wire.frames import Scanner
from proxy.core.wire.messages import MessageScanner

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was built without its C extension
    from websockets.utils import apply_mask


# What our pings carry and their pongs begin with. Random, so that gateways in a row swallow their own pongs
# only.
PONG_PREFIX = b"sg" + os.urandom(6)


def client_scanner(
    *, max_message_bytes: int, inspected: bool, compressed: bool, diverts: bool, drops: bool
) -> Scanner | MessageScanner:
    """`diverts`: the client's control messages are taken out of its stream. `drops`: others may be, too."""
    if inspected:
        return MessageScanner(
            masked=True, max_message_bytes=max_message_bytes, pong_prefix=PONG_PREFIX, apply_mask=apply_mask
        )
    return (DroppingScanner if drops else Scanner)(
        masked=True,
        max_message_bytes=max_message_bytes,
        allow_rsv1=compressed,
        pong_prefix=PONG_PREFIX,
        diverts=diverts,
        apply_mask=apply_mask,
    )


def upstream_scanner(
    *, max_message_bytes: int, inspected: bool, compressed: bool
) -> Scanner | MessageScanner:
    if inspected:
        return MessageScanner(masked=False, max_message_bytes=max_message_bytes, pong_prefix=PONG_PREFIX)
    return Scanner(
        masked=False, max_message_bytes=max_message_bytes, allow_rsv1=compressed, pong_prefix=PONG_PREFIX
    )
