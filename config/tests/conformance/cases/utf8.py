"""6 UTF-8: what is text, whole and in fragments cut anywhere, and what is not.

Whether a text is UTF-8 is the service's to judge: a splice never looks, and its 1007 comes back as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.tests.conformance.case import TEXT, Case, Judge, echoed, frame, message

KOSME = "κόσμε"
LONGER = "Hello-µ@ßöäüàá-UTF-8!!"
SURROGATE, AFTER = b"\xed\xa0\x80", b"edited"


def _valid(number: str, *fragments: bytes) -> Case:
    hears = (echoed(TEXT, b"".join(fragments)),)
    return Case(number=number, sends=tuple(message(TEXT, *fragments)), hears=hears)


def _invalid(number: str, *fragments: bytes, at_once: bool = True) -> Case:
    sends = tuple(message(TEXT, *fragments))
    return Case(number=number, sends=sends, fails=1007, judge=Judge.SERVICE, at_once=at_once)


def _octets(text: bytes) -> tuple[bytes, ...]:
    return tuple(text[at : at + 1] for at in range(len(text)))


def _judged(number: str, text: bytes) -> Case:
    """Valid or not, as Python's own decoder says, which the RFC's grammar agrees with."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return _invalid(number, text)
    return _valid(number, text)


def _texts() -> Iterator[Case]:
    kosme, longer = KOSME.encode(), LONGER.encode()
    yield _valid("6.1.1", b"")
    yield _valid("6.1.2", b"", b"", b"")
    yield _valid("6.1.3", b"", b"middle frame payload", b"")
    yield _valid("6.2.1", longer)
    yield _valid("6.2.2", longer[:8], longer[8:])
    yield _valid("6.2.3", *_octets(longer))
    yield _valid("6.2.4", *_octets(kosme))
    broken = kosme + SURROGATE + AFTER
    yield _invalid("6.3.1", broken)
    yield _invalid("6.3.2", *_octets(broken))


def _in_time() -> Iterator[Case]:
    """Autobahn asks for a failure before the message's end (not strictly); a service may wait for it."""
    kosme = KOSME.encode()
    yield _invalid("6.4.1", kosme, b"\xf4\x90\x80\x80", AFTER, at_once=False)
    yield _invalid("6.4.2", kosme + b"\xf4", b"\x90", b"\x80\x80" + AFTER, at_once=False)
    for number, octets in (("6.4.3", 0), ("6.4.4", 1)):
        sends = (frame(TEXT, kosme + b"\xf4\x90\x80\x80" + AFTER),)
        yield Case(number=number, sends=sends, fails=1007, judge=Judge.SERVICE, octets=octets)


# Chapters 6.5 to 6.23: Markus Kuhn's stress test of decoders, grouped as Autobahn does.
SEQUENCES: dict[int, tuple[bytes, ...]] = {
    5: (KOSME.encode(), "¢".encode(), "€".encode(), "𐍈".encode(), "日本語".encode()),
    6: tuple(KOSME.encode()[:length] for length in range(1, len(KOSME.encode()) + 1)),
    7: (b"\x00", "\u0080".encode(), "\u0800".encode(), "\U00010000".encode()),
    8: (b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
    9: (b"\x7f", "\u07ff".encode(), "\uffff".encode(), "\U0010ffff".encode()),
    10: (b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    11: ("\ud7ff".encode(), "\ue000".encode(), "\ufffd".encode(), "\U0010ffff".encode(), b"\xf4\x90\x80\x80"),
    12: (b"\x80", b"\xbf", *(b"\x80\xbf" * pairs for pairs in (1, 2, 3)), bytes(range(0x80, 0xC0))),
    13: tuple(b"".join(bytes([start]) + b" " for start in starts) for starts in (
        range(0xC0, 0xE0), range(0xE0, 0xF0), range(0xF0, 0xF8), range(0xF8, 0xFC), range(0xFC, 0xFE),
    )),
    14: (
        b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80",
        b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf",
    ),
    15: (b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf",),
    16: (b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"),
    17: (
        b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf",
        b"\xfc\x80\x80\x80\x80\xaf",
    ),
    18: (
        b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf",
        b"\xfc\x83\xbf\xbf\xbf\xbf",
    ),
    19: (
        b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80\x80",
    ),
    20: (
        b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80",
        b"\xed\xbe\x80", b"\xed\xbf\xbf",
    ),
    21: tuple(high + low for high in (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf")
              for low in (b"\xed\xb0\x80", b"\xed\xbf\xbf")),
    22: tuple(chr(plane << 16 | low).encode() for plane in range(17) for low in (0xFFFE, 0xFFFF)),
    23: tuple(chr(special).encode() for special in (0xFFF9, 0xFFFA, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF)),
}  # fmt: skip


def _sequences() -> Iterator[Case]:
    for chapter, texts in SEQUENCES.items():
        for number, text in enumerate(texts, 1):
            yield _judged(f"6.{chapter}.{number}", text)


CASES = (*_texts(), *_in_time(), *_sequences())
