"""What the frame scanner costs: nanoseconds a frame, on one core, nothing else running.

    python -m bench.micro_frames

What was optimised, ns a 200 B message (CPython 3.11, the two-core reference machine):

                                        a chunk each    in 64 KiB chunks
    any frame, one call of each step            1321                 728
    and a loop for runs of whole messages       1162                 212
    and a test for a lone whole message          223                 224

The rules on FIN, RSV and opcodes are one lookup in a table of 256 bytes that the state chooses.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from websockets.speedups import apply_mask

from proxy.core.wire.frames import Scanner
from proxy.core.wire.messages import MessageScanner
from proxy.core.wire.tests.frames import encode_frame

KEY = b"\x01\x02\x03\x04"
FRAME = encode_frame(1, b"x" * 200, mask=KEY)
HALF = encode_frame(1, b"x" * 100, mask=KEY, fin=False) + encode_frame(0, b"x" * 100, mask=KEY)
MEGABYTE = encode_frame(2, b"x" * 1_000_000, mask=KEY)


def chunks(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def ns_a_call(feed: Callable[[bytes], object], offered: list[bytes], *, rounds: int = 5) -> float:
    """Best of `rounds`, so that a noisy neighbour does not count."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time_ns()
        for chunk in offered:
            feed(chunk)
        best = min(best, time.process_time_ns() - started)
    return best / len(offered)


def scanner() -> Scanner:
    return Scanner(masked=True, max_message_bytes=1 << 20, pong_prefix=b"gateway ")


def main() -> None:
    object_text = encode_frame(1, b'{"type":"move","seq":%d}' % 10**175, mask=KEY)
    single, many = [FRAME] * 100_000, chunks(FRAME * 31_508, 65_536)
    rows: list[tuple[str, float]] = [
        ("200 B message, a chunk each", ns_a_call(scanner().feed, single)),
        ("200 B text, control messages looked for", ns_a_call(diverter().feed, single)),
        ("200 B object, control messages looked for", ns_a_call(diverter().feed, [object_text] * 100_000)),
        ("200 B messages in 64 KiB chunks", _a_frame(many, 31_508)),
        ("100 B fragments in 64 KiB chunks", _a_frame(chunks(HALF * 30_000, 65_536), 60_000)),
        (
            "200 B message split over two chunks, a chunk",
            ns_a_call(scanner().feed, chunks(FRAME * 10_000, 104)),
        ),
        ("1 MB messages in 64 KiB chunks, a chunk", ns_a_call(scanner().feed, chunks(MEGABYTE * 40, 65_536))),
        ("inspected: 200 B message, a chunk each", ns_a_call(inspector().feed, single[:20_000])),
    ]
    for name, nanoseconds in rows:
        print(f"{name:48} {nanoseconds:8.0f} ns")
    idle = scanner()
    print(f"{'idle scanner':48} {sys.getsizeof(idle):8d} bytes")


def _a_frame(offered: list[bytes], frames: int) -> float:
    return ns_a_call(scanner().feed, offered) * len(offered) / frames


def diverter() -> Scanner:
    return Scanner(masked=True, max_message_bytes=1 << 20, diverts=True, apply_mask=apply_mask)


def inspector() -> MessageScanner:
    return MessageScanner(masked=True, max_message_bytes=1 << 20, apply_mask=apply_mask)


if __name__ == "__main__":
    main()
