"""Which scanner follows which direction of a splice."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.diverting import ControlScanner
from proxy.core.frames import Scanner
from proxy.core.messages import MessageScanner
from proxy.engine.keepalive import PONG_PREFIX

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was built without its C extension
    from websockets.utils import apply_mask


def client_scanner(
    *, max_message_bytes: int, inspected: bool, compressed: bool, on_control: Callable[[bytes], object] | None
) -> Scanner | MessageScanner:
    """`on_control` is given the in-band control messages; None leaves them in the stream."""
    if inspected:
        return MessageScanner(
            masked=True, max_message_bytes=max_message_bytes, pong_prefix=PONG_PREFIX, apply_mask=apply_mask
        )
    if on_control is not None:
        return ControlScanner(
            max_message_bytes=max_message_bytes,
            on_control=on_control,
            pong_prefix=PONG_PREFIX,
            apply_mask=apply_mask,
        )
    return Scanner(
        masked=True, max_message_bytes=max_message_bytes, allow_rsv1=compressed, pong_prefix=PONG_PREFIX
    )


def upstream_scanner(
    *, max_message_bytes: int, inspected: bool, compressed: bool
) -> Scanner | MessageScanner:
    if inspected:
        return MessageScanner(masked=False, max_message_bytes=max_message_bytes, pong_prefix=PONG_PREFIX)
    return Scanner(
        masked=False, max_message_bytes=max_message_bytes, allow_rsv1=compressed, pong_prefix=PONG_PREFIX
    )
