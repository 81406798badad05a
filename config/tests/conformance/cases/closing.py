"""7 the closing handshake: close codes, reasons, and what comes after a close."""

from __future__ import annotations

from collections.abc import Iterator

from config.tests.conformance.case import CLOSE, CONT, PING, TEXT, Case, echoed, frame
from config.tests.conformance.wire import close_frame

HELLO = "Hello World!"
NORMAL = frozenset({1000})
# 1012 to 1014 were registered after the RFC; Autobahn's table has 1012 among the bad ones.
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


def _orderly() -> Iterator[Case]:
    hello, close = frame(TEXT, HELLO), close_frame()
    yield Case(number="7.1.1", sends=(hello, close), hears=(echoed(TEXT, HELLO),), ends=NORMAL, at_once=False)
    yield Case(number="7.1.2", sends=(close, close), ends=NORMAL)
    yield Case(number="7.1.3", sends=(close, frame(PING)), ends=NORMAL)
    yield Case(number="7.1.4", sends=(close, hello), ends=NORMAL)
    sends = (frame(TEXT, "fragment1", fin=False), close, frame(CONT, "fragment2"))
    # The library that a relay reads with takes a close inside a message for a violation.
    yield Case(number="7.1.5", sends=sends, ends=frozenset({1000, 1002}))
    big = "BAsd7&jh23" * 26_214
    sends = (frame(TEXT, big), hello, close)  # Autobahn's ping after it is 7.1.3 again
    yield Case(number="7.1.6", sends=sends, hears=(echoed(TEXT, big), echoed(TEXT, HELLO)), ends=NORMAL)


def _payloads() -> Iterator[Case]:
    # An empty close is answered by an empty one, or by 1000.
    yield Case(number="7.3.1", sends=(close_frame(None),), ends=frozenset({1000, 1005}))
    yield Case(number="7.3.2", sends=(frame(CLOSE, b"\x03"),), fails=1002)
    yield Case(number="7.3.3", sends=(close_frame(1000),), ends=NORMAL)
    yield Case(number="7.3.4", sends=(close_frame(1000, HELLO),), ends=NORMAL)
    yield Case(number="7.3.5", sends=(close_frame(1000, "*" * 123),), ends=NORMAL)
    yield Case(number="7.3.6", sends=(close_frame(1000, "*" * 124),), fails=1002)
    yield Case(number="7.5.1", sends=(close_frame(1000, b"\xce\xba\xed\xa0\x80edited"),), fails=1007)


def _codes() -> Iterator[Case]:
    for number, code in enumerate(GOOD_CODES, 1):
        yield Case(number=f"7.7.{number}", sends=(close_frame(code),), ends=frozenset({code, 1000}))
    for number, code in enumerate(BAD_CODES, 1):
        yield Case(number=f"7.9.{number}", sends=(close_frame(code),), fails=1002)


CASES = (*_orderly(), *_payloads(), *_codes())
