"""9 limits, scaled down to what one message may have here (1 MiB), and 10 automatic fragmentation."""

from __future__ import annotations

from collections.abc import Iterator

from config.tests.conformance.case import BINARY, TEXT, Case, echoed, frame, message

KB, MB = 1 << 10, 1 << 20


def _pieces(payload: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(payload[at : at + size] for at in range(0, len(payload), size))


def _large() -> Iterator[Case]:
    for chapter, opcode in ((1, TEXT), (2, BINARY)):
        for number, size in enumerate((64 * KB, 256 * KB, MB), 1):
            payload = b"BAsd7&jh23"[:8] * (size // 8)
            hears = (echoed(opcode, payload),)
            yield Case(number=f"9.{chapter}.{number}", sends=(frame(opcode, payload),), hears=hears)
        yield Case(number=f"9.{chapter}.4", sends=(frame(opcode, b"*" * (MB + 1)),), fails=1009)
        halves = message(opcode, b"*" * MB, b"*")
        yield Case(number=f"9.{chapter}.5", sends=tuple(halves), fails=1009)


def _fragmented() -> Iterator[Case]:
    for chapter, opcode in ((3, TEXT), (4, BINARY)):
        for number, size in enumerate((64, 256, KB, 4 * KB, 16 * KB, 64 * KB), 1):
            payload = bytes(97 + at % 26 for at in range(64 * KB))
            sends = tuple(message(opcode, *_pieces(payload, size)))
            yield Case(number=f"9.{chapter}.{number}", sends=sends, hears=(echoed(opcode, payload),))


def _chopped() -> Iterator[Case]:
    for chapter, opcode in ((5, TEXT), (6, BINARY)):
        for number, octets in enumerate((64, 128, 256, 512, KB, 2 * KB), 1):
            payload = bytes(97 + at % 26 for at in range(128 * KB))
            sends, hears = (frame(opcode, payload),), (echoed(opcode, payload),)
            yield Case(number=f"9.{chapter}.{number}", sends=sends, hears=hears, octets=octets)


def _many() -> Iterator[Case]:
    """Fewer than a second's worth of the default message rate."""
    for chapter, opcode in ((7, TEXT), (8, BINARY)):
        for number, size in enumerate((0, 16, 64, 256, KB, 4 * KB), 1):
            payload = b"*" * size
            sends, hears = (frame(opcode, payload),) * 50, (echoed(opcode, payload),) * 50
            yield Case(number=f"9.{chapter}.{number}", sends=sends, hears=hears)


def _auto_fragmented() -> Iterator[Case]:
    payload = b"*" * 65_536
    sends = tuple(message(TEXT, *_pieces(payload, 1300)))
    yield Case(number="10.1.1", sends=sends, hears=(echoed(TEXT, payload),))


CASES = (*_large(), *_fragmented(), *_chopped(), *_many(), *_auto_fragmented())
