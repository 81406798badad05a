"""Fuzz the frame scanners against the `websockets` library for a bounded time.

    python -m proxy.core.wire.tests.fuzz_frames --seconds 60 [--seed N]

On a disagreement it prints the seed of the case that failed, which replays it, and exits with 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from websockets.frames import Frame, Opcode

from proxy.core.wire.tests.comparing import compare, compare_whole, cut_at
from proxy.core.wire.tests.reference import Rules, judge, serialize

SIZES = (0, 0, 1, 2, 3, 5, 20, 100, 125, 126, 127, 200, 1000)
CLOSE_PAYLOADS = (b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa1\xc3\xa9", b"\x03\xed", b"\x03\xe8\xff", b"x")


def random_stream(rng: random.Random, rules: Rules) -> bytes:
    """A few messages, most of them lawful, with control frames between and inside."""
    stream = bytearray()
    in_message = False
    for _ in range(rng.randrange(1, 12)):
        frame = _control(rng) if rng.random() < 0.25 else _data(rng, in_message=in_message)
        if frame.opcode < 8:
            in_message = not frame.fin
            if rules.allow_rsv1 and rng.random() < 0.3:
                frame.rsv1 = True
        masked = rules.masked if rng.random() < 0.99 else not rules.masked
        stream += serialize(frame, rng.randbytes(4) if masked else None)
    return bytes(stream)


def _data(rng: random.Random, *, in_message: bool) -> Frame:
    lawful = rng.random() < 0.97
    opcode = Opcode.CONT if in_message == lawful else rng.choice((Opcode.TEXT, Opcode.BINARY))
    return Frame(opcode, rng.randbytes(rng.choice(SIZES)), fin=rng.random() < 0.6)


def _control(rng: random.Random) -> Frame:
    kind = rng.random()
    if kind < 0.1:
        return Frame(Opcode.CLOSE, rng.choice(CLOSE_PAYLOADS))
    prefix = b"gw:" if kind < 0.5 else b""
    return Frame(rng.choice((Opcode.PING, Opcode.PONG)), prefix + rng.randbytes(rng.choice((0, 1, 8, 120))))


def mutated(rng: random.Random, stream: bytes) -> bytes:
    """The stream with a few bits flipped, bytes dropped, repeated or put in, or its end cut off."""
    wire = bytearray(stream)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        if not wire:
            break
        at = min(rng.randrange(len(wire)), rng.randrange(len(wire)))
        change = rng.randrange(5)
        if change <= 1:
            wire[at] ^= 1 << rng.randrange(8)
        elif change == 2:
            del wire[at : at + rng.randrange(1, 5)]
        elif change == 3:
            wire[at:at] = rng.randbytes(rng.randrange(1, 5))
        else:
            del wire[at:]
    return bytes(wire)


def try_case(seed: int) -> None:
    """Build one case from its seed and compare. Raises AssertionError on a disagreement."""
    rng = random.Random(seed)
    rules = Rules(
        masked=rng.random() < 0.5,
        max_message_bytes=rng.choice((100, 126, 300, 1000, 1 << 20)),
        allow_rsv1=rng.random() < 0.3,
    )
    stream = mutated(rng, random_stream(rng, rules))
    verdict = judge(stream, rules)
    cuts = [rng.randrange(len(stream) + 1) for _ in range(rng.choice((0, 1, 3, 10)))]
    for offsets in ([], cuts, range(1, len(stream))):
        compare(stream, cut_at(stream, offsets), verdict, rules)
        if not rules.allow_rsv1:
            compare_whole(stream, cut_at(stream, offsets), verdict, rules)


def fuzz(*, seconds: float, seed: int) -> int:
    """Return how many cases agreed. Raises AssertionError, with its seed, at the first that did not."""
    deadline, cases = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        try:
            try_case(seed + cases)
        except AssertionError as error:
            error.add_note(f"replay with --seed {seed + cases}")
            raise
        cases += 1
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_007)
    options = parser.parse_args()
    try:
        cases = fuzz(seconds=options.seconds, seed=options.seed)
    except AssertionError:
        traceback.print_exc()
        return 1
    sys.stdout.write(f"frames: {cases} cases agreed with websockets (seed {options.seed})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
