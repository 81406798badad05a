"""A scanner that is told and made anew goes on as if nothing had been, at whichever byte."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.wire import frames as frames_module
from proxy.core.wire import messages as messages_module
from proxy.core.wire.dropping import DroppingScanner
from proxy.core.wire.frames import Scanner
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import BINARY, CONT, SPARE_PARTS, TEXT, FrameReader, Violation
from proxy.core.wire.messages import MessageScanner
from proxy.core.wire.tests.frames import encode_frame, pong_frame

KEY, PREFIX = b"\x01\x02\x03\x04", b"gw:"
REFRESH = b'{"type":"gateway.refresh","token":"t"}'

AnyScanner = Scanner | MessageScanner
RULES: dict[str, Any] = {"max_message_bytes": 1 << 16, "pong_prefix": PREFIX}
KINDS: dict[str, Callable[[], AnyScanner]] = {
    "client": lambda: Scanner(masked=True, **RULES),
    "client, compressed": lambda: Scanner(masked=True, allow_rsv1=True, **RULES),
    "client with control messages": lambda: Scanner(masked=True, diverts=True, **RULES),
    "client over its rate": lambda: DroppingScanner(masked=True, diverts=True, **RULES),
    "client, inspected": lambda: MessageScanner(masked=True, **RULES),
    "service": lambda: Scanner(masked=False, **RULES),
    "service, inspected": lambda: MessageScanner(masked=False, **RULES),
}
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def stream_of(kind: str) -> bytes:
    """One of every kind of frame, and a close."""
    mask = KEY if kind.startswith("client") else None
    begun = encode_frame(TEXT, b'{"type":"gatew', mask=mask, fin=False)
    frames = [
        encode_frame(TEXT, b"{hello", mask=mask),
        encode_frame(BINARY, bytes(130), mask=mask),
        ping_frame(b"?", mask=mask),
        bytes((begun[0] | 0x40 * (kind == "client, compressed"),)) + begun[1:],
        pong_frame(b"foreign", mask=mask),
        encode_frame(CONT, b"", mask=mask, fin=False),
        pong_frame(PREFIX, mask=mask),
        encode_frame(CONT, b'ay.refresh"}', mask=mask),
        encode_frame(TEXT, REFRESH, mask=mask),
        encode_frame(TEXT, b"", mask=mask),
        close_frame(4000, "bye", mask=mask),
    ]
    return b"".join(frames)


def remade(scanner: AnyScanner, kind: str) -> AnyScanner:
    """Another one, made from what this one tells."""
    other = KINDS[kind]()
    other.go_on(pickle.loads(pickle.dumps(scanner.told())))
    other.quota = scanner.quota  # its owner's
    return other


def read(scanner: AnyScanner, chunk: bytes) -> list[object]:
    """All that is seen of a scanner that is fed one chunk, and resumed once."""
    seen: list[object] = [scanner.feed(chunk)]
    if scanner.unread:
        if isinstance(scanner, DroppingScanner):
            scanner.drops = True
        seen.append(scanner.resume())
    if isinstance(scanner, Scanner):
        seen += [scanner.boundary, list(scanner.controls), scanner.noted]
        scanner.controls = ()
    if isinstance(scanner, DroppingScanner):
        seen += [scanner.dropped, scanner.dropped_bytes]
        scanner.dropped = scanner.dropped_bytes = 0
    counts = [scanner.messages, scanner.payload_bytes, scanner.control_frames, scanner.heard]
    return [*seen, *counts, scanner.between_frames, scanner.between_messages, scanner.ended, scanner.unread]


@pytest.mark.parametrize("size", [1, 7, 1000])
@ALL_KINDS
def test_at_every_byte(kind: str, size: int) -> None:
    stream = stream_of(kind)
    for at in range(len(stream)):
        scanner = KINDS[kind]()
        read(scanner, stream[:at])
        if scanner.ended is not None:
            break
        other = remade(scanner, kind)
        for start in range(at, len(stream), size):
            chunk = stream[start : start + size]
            assert read(other, chunk) == read(scanner, chunk)
        assert other.told() == scanner.told()


@ALL_KINDS
def test_with_what_is_unread_because_the_turn_was_over(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "TURN_COST", 2)
    monkeypatch.setattr(messages_module, "TURN_FRAMES", 2)
    stream = stream_of(kind)
    for at in range(len(stream)):
        scanner = KINDS[kind]()
        scanner.feed(stream[:at])
        other = remade(scanner, kind) if scanner.ended is None else scanner
        for _ in range(3):
            assert read(other, b"") == read(scanner, b"")
        assert read(other, stream[at:]) == read(scanner, stream[at:])


@ALL_KINDS
def test_with_what_is_beyond_its_quota(kind: str) -> None:
    stream = stream_of(kind)
    for at in range(len(stream)):
        scanner = KINDS[kind]()
        scanner.quota = 1
        read(scanner, stream[:at])
        other = remade(scanner, kind)
        for quota in (2, 3, 10):
            scanner.quota = other.quota = quota
            assert read(other, b"") == read(scanner, b"")
        assert read(other, stream[at:]) == read(scanner, stream[at:])


BEGUN, EMPTY = encode_frame(BINARY, b"", mask=KEY, fin=False), encode_frame(CONT, b"", mask=KEY, fin=False)
HALF = encode_frame(BINARY, bytes(40_000), mask=KEY, fin=False)
OTHER_HALF = encode_frame(CONT, bytes(40_000), mask=KEY)


@pytest.mark.parametrize(
    ("before", "after"),
    [(HALF, OTHER_HALF), (BEGUN + EMPTY * SPARE_PARTS, EMPTY)],
    ids=["too big", "too many parts"],
)
@pytest.mark.parametrize("kind", ["client", "client with control messages", "client, inspected"])
def test_with_a_message_that_goes_too_far(kind: str, before: bytes, after: bytes) -> None:
    scanner = KINDS[kind]()
    scanner.feed(before)
    while scanner.unread:
        scanner.resume()
    other = remade(scanner, kind)
    assert read(other, after) == read(scanner, after)
    assert isinstance(other.ended, Violation)


RULES_OF_ITS_LINK = {"_apply_mask", "_diverts", "_mask_bit", "_short_header_bytes", "max_message_bytes"}
OF_ONE_READ = {"_needed_bytes", "_parsed_bytes", "boundary", "controls", "noted"}
ITS_OWNERS = {"dropped", "dropped_bytes", "drops", "ended", "quota"}
IN_ANOTHER_FORM = {"_between", "_held", "_kinds", "_partial"}


def test_whoever_adds_to_what_a_scanner_knows_says_whether_it_is_told() -> None:
    kinds = [FrameReader]
    for kind in kinds:
        kinds += kind.__subclasses__()
        slots = {name for each in kind.__mro__ for name in getattr(each, "__slots__", ())}
        assert slots - set(kind.STATE) <= RULES_OF_ITS_LINK | OF_ONE_READ | ITS_OWNERS | IN_ANOTHER_FORM
        assert set(kind.STATE) <= slots
