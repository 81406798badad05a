"""1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes, 5 fragmentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.tests.conformance.case import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    Case,
    echoed,
    frame,
    message,
)

HELLO = "Hello, world!"
NOT_UTF8 = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
SIZES = (0, 125, 126, 127, 128, 65_535, 65_536)


def _framing() -> Iterator[Case]:
    for chapter, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate(SIZES, 1):
            yield Case(
                number=f"1.{chapter}.{number}",
                sends=(frame(opcode, byte * size),),
                hears=(echoed(opcode, byte * size),),
            )
        yield Case(
            number=f"1.{chapter}.8",
            sends=(frame(opcode, byte * 65_536),),
            hears=(echoed(opcode, byte * 65_536),),
            octets=997,
        )


def _pings() -> Iterator[Case]:
    def answered(number: str, payload: bytes, *, octets: int = 0) -> Case:
        hears = (echoed(PONG, payload),)
        return Case(number=number, sends=(frame(PING, payload),), hears=hears, octets=octets)

    yield answered("2.1", b"")
    yield answered("2.2", HELLO.encode())
    yield answered("2.3", NOT_UTF8)
    yield answered("2.4", b"\xfe" * 125)
    yield Case(number="2.5", sends=(frame(PING, b"\xfe" * 126),), fails=1002)
    yield answered("2.6", b"\xfe" * 125, octets=1)
    yield Case(number="2.7", sends=(frame(PONG),))
    yield Case(number="2.8", sends=(frame(PONG, "unsolicited"),))
    yield Case(
        number="2.9",
        sends=(frame(PONG, "unsolicited"), frame(PING, "ping")),
        hears=(echoed(PONG, "ping"),),
    )
    for number, octets in (("2.10", 0), ("2.11", 1)):
        yield Case(
            number=number,
            sends=tuple(frame(PING, f"payload-{at}") for at in range(10)),
            hears=tuple(echoed(PONG, f"payload-{at}") for at in range(10)),
            octets=octets,
        )


def _failing(number: str, *bad: bytes, at_once: bool = True, octets: int = 0) -> Case:
    """A good message, then what fails the connection, then a ping that nobody answers."""
    return Case(
        number=number,
        sends=(frame(TEXT, HELLO), *bad, frame(PING)),
        hears=(echoed(TEXT, HELLO),),
        fails=1002,
        at_once=at_once,
        octets=octets,
    )


def _reserved_bits() -> Iterator[Case]:
    yield Case(number="3.1", sends=(frame(TEXT, HELLO, rsv=1),), fails=1002)
    yield _failing("3.2", frame(TEXT, HELLO, rsv=2))
    yield _failing("3.3", frame(TEXT, HELLO, rsv=3), at_once=False)
    yield _failing("3.4", frame(TEXT, HELLO, rsv=4), octets=1)
    yield Case(number="3.5", sends=(frame(BINARY, NOT_UTF8, rsv=5),), fails=1002)
    yield Case(number="3.6", sends=(frame(PING, HELLO, rsv=6),), fails=1002)
    yield Case(number="3.7", sends=(frame(0x8, b"\x03\xe8", rsv=7),), fails=1002)


def _opcodes() -> Iterator[Case]:
    for chapter, opcodes in ((1, range(3, 8)), (2, range(11, 16))):
        first, second, third, fourth, fifth = opcodes
        yield Case(number=f"4.{chapter}.1", sends=(frame(first),), fails=1002)
        yield Case(number=f"4.{chapter}.2", sends=(frame(second, "reserved"),), fails=1002)
        yield _failing(f"4.{chapter}.3", frame(third))
        yield _failing(f"4.{chapter}.4", frame(fourth, HELLO))
        yield _failing(f"4.{chapter}.5", frame(fifth, HELLO), octets=1)


def _fragmentation() -> Iterator[Case]:
    yield Case(number="5.1", sends=tuple(message(PING, "fragment1", "fragment2")), fails=1002)
    yield Case(number="5.2", sends=tuple(message(PONG, "fragment1", "fragment2")), fails=1002)
    ways: tuple[Any, ...] = ({}, {"at_once": False}, {"octets": 1})
    first, last = message(TEXT, "fragment1", "fragment2")
    whole = echoed(TEXT, "fragment1fragment2")
    for number, how in enumerate(ways, 3):
        yield Case(number=f"5.{number}", sends=(first, last), hears=(whole,), **how)
    for number, how in enumerate(ways, 6):
        with_ping, hears = (first, frame(PING, "ping"), last), (echoed(PONG, "ping"), whole)
        yield Case(number=f"5.{number}", sends=with_ping, hears=hears, **how)
    for start, is_final in ((9, True), (12, False)):
        stray = frame(CONT, "non-continuation payload", fin=is_final)
        for number, how in enumerate(ways, start):
            sends = (stray, frame(TEXT, HELLO))
            yield Case(number=f"5.{number}", sends=sends, fails=1002, **how)
    yield from _broken_fragments()
    yield from _fragments_with_pings()


def _broken_fragments() -> Iterator[Case]:
    first, last = message(TEXT, "fragment1", "fragment2")
    yield Case(
        number="5.15",
        sends=(first, last, frame(CONT, "fragment3", fin=False), frame(TEXT, "fragment4")),
        hears=(echoed(TEXT, "fragment1fragment2"),),
        fails=1002,
    )
    for number, is_final in (("5.16", False), ("5.17", True)):
        sends = (frame(CONT, "fragment1", fin=is_final), *message(TEXT, "fragment2", "fragment3")) * 2
        yield Case(number=number, sends=sends, fails=1002)
    sends = (frame(TEXT, "fragment1", fin=False), frame(TEXT, "fragment2"))
    yield Case(number="5.18", sends=sends, fails=1002)


def _fragments_with_pings() -> Iterator[Case]:
    one, two, three, four, five = message(TEXT, *(f"fragment{at}" for at in range(1, 6)))
    sends = (one, two, frame(PING, "pongme 1!"), three, four, frame(PING, "pongme 2!"), five)
    whole = echoed(TEXT, "fragment1fragment2fragment3fragment4fragment5")
    hears = (echoed(PONG, "pongme 1!"), echoed(PONG, "pongme 2!"), whole)
    yield Case(number="5.19", sends=sends, hears=hears, at_once=False)
    yield Case(number="5.20", sends=sends, hears=hears)


CASES = (*_framing(), *_pings(), *_reserved_bits(), *_opcodes(), *_fragmentation())
