"""What a message looks like to staff."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from proxy.core.secrets_in_text import Secrets
from proxy.core.tapping import MOST_HEX_BYTES, MOST_SHOWN_BYTES, MOST_SHOWN_CHARS, Direction, Viewing
from proxy.core.wire.following import Seen
from proxy.core.wire.headers import BINARY, CLOSE, PING, PONG, TEXT

TOKEN = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLXNvbWUtbGVuZ3Ro"


def told(opcode: int, payload: bytes, **more: Any) -> dict[str, Any]:
    viewing = Viewing(Direction.IN, Secrets(["token"]), clock=lambda: 12.3456)
    return viewing.line(Seen(opcode, payload, more.pop("size", len(payload)), **more)).told()


@pytest.mark.parametrize(
    ("opcode", "payload", "kind", "text"),
    [
        (TEXT, b"hello", "text", "hello"),
        (TEXT, b"", "text", ""),
        (TEXT, "grüezi 👋".encode(), "text", "grüezi 👋"),
        (TEXT, b"two\r\nlines\tand a bell\x07", "text", "two\nlines\tand a bell⟨U+0007⟩"),
        (TEXT, "\u202etxt.exe".encode(), "text", "⟨U+202E⟩txt.exe"),
        (TEXT, b'{"token":"x"}', "text", '{"token":"[redacted]"}'),
        (TEXT, b"it is " + TOKEN, "text", "it is [redacted]"),
        (BINARY, b'{"token":"x"}', "binary", '{"token":"[redacted]"}'),
        (BINARY, b"\x00\x01\xfe", "binary", "00 01 fe"),
        (BINARY, b"\x00Token\xa3abc", "binary", "00 54 6f 6b 65 6e [redacted]"),
        (BINARY, b"\x00\x01" + TOKEN, "binary", "00 01 [redacted]"),
        (CLOSE, b"\x0f\xa1bye token=x", "close", "4001 bye token=[redacted]"),
        (CLOSE, b"", "close", "1005"),
        (CLOSE, b"\x00", "close", ""),
        (PING, b"token", "ping", ""),
        (PONG, b"token", "pong", ""),
    ],
)
def test_it_is_safe_to_show(opcode: int, payload: bytes, kind: str, text: str) -> None:
    line = told(opcode, payload)
    assert (line["kind"], line["text"], line["size"]) == (kind, text, len(payload))
    assert (line["way"], line["at"], line["wire"], line["cut"]) == ("in", 12.346, 0, False)


def test_a_long_one_is_cut_between_characters_or_not_and_says_so() -> None:
    for payload in ("é".encode() * MOST_SHOWN_BYTES, b"x" + "é".encode() * MOST_SHOWN_BYTES):
        line = told(TEXT, payload[:MOST_SHOWN_BYTES], size=len(payload))
        assert line["cut"]
        assert line["size"] == len(payload)
        assert line["text"].strip("xé") in ("", "\N{REPLACEMENT CHARACTER}")
        assert told(BINARY, payload[:MOST_SHOWN_BYTES], size=len(payload))["text"] == line["text"]
    assert len(told(TEXT, bytes(MOST_SHOWN_BYTES))["text"]) == MOST_SHOWN_CHARS + 1
    assert len(told(BINARY, b"\xff" * MOST_SHOWN_BYTES)["text"]) == 3 * MOST_HEX_BYTES - 1


def test_what_is_compressed_is_told_as_it_was_and_what_is_skipped_is_read_for_the_next() -> None:
    deflating = zlib.compressobj(6, zlib.DEFLATED, -15)

    def sent(text: bytes) -> Seen:
        wire = (deflating.compress(text) + deflating.flush(zlib.Z_SYNC_FLUSH))[:-4]
        return Seen(TEXT, wire, len(wire), compressed=True)

    viewing = Viewing(Direction.OUT, Secrets(["token"]), clock=lambda: 0.0)
    first, skipped, third, fourth = (sent(b'{"name":"ada","token":"hunter2","n":%d}' % n) for n in range(4))
    line = viewing.line(first)
    assert (line.text, line.size_bytes) == ('{"name":"ada","token":"[redacted]","n":0}', 38)
    assert line.wire_bytes == first.size_bytes
    viewing.skip(skipped)
    assert viewing.line(third).text == '{"name":"ada","token":"[redacted]","n":2}'
    viewing.missed()
    late = viewing.line(fourth).text
    assert "·" in late
    assert "hunter" not in late


def test_what_stands_behind_the_unknown_in_binary_is_not_shown() -> None:
    deflating = zlib.compressobj(6, zlib.DEFLATED, -15)
    payload = bytes(range(128, 228))
    for said in (payload, payload + b"\x00abc"):
        wire = (deflating.compress(b"\x01\x02" + said) + deflating.flush(zlib.Z_SYNC_FLUSH))[:-4]
    line = told(BINARY, wire, compressed=True)
    assert line["text"].endswith("··")
    assert "61 62 63" not in line["text"]
