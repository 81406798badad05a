"""What is taken for a token, and what is not."""

from __future__ import annotations

import base64
import time
from urllib.parse import quote

import pytest

from proxy.core.redaction import redacted, without


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


HEADER, PAYLOAD = part(b'{"alg":"HS256","typ":"JWT"}'), part(b'{"sub":"42","exp":1790000000,"name":"a b"}')
SHORT_PAYLOAD = part(b'{"sub":"42"}')
SIGNATURE = part(bytes(range(150, 182)))
TOKEN = f"{HEADER}.{PAYLOAD}.{SIGNATURE}"


@pytest.mark.parametrize(
    "text",
    [
        f"/ws/{TOKEN}",
        f"/%65yJ{TOKEN[3:]}",
        f"/%2565yJ{TOKEN[3:]}",
        f"/x/{TOKEN.replace('.', '%2E')}",
        f"/x/{TOKEN.replace('.', '%252e')}",
        f"/x/{TOKEN[20:]}",
        f"/x/{PAYLOAD}.{SIGNATURE}",
        f"/x/{PAYLOAD[30:]}.{SIGNATURE}",
        f"/x/{HEADER}.{SHORT_PAYLOAD}.",
        f"/x/{HEADER}.{SHORT_PAYLOAD}.short",
        f"Bearer x.y.{SIGNATURE}",
        f"/ws/a%0atoken={TOKEN}",
        f"/ws&T%6Fken={SIGNATURE}",
        f"/ws%3Fticket%3D{SIGNATURE}.djI",
        f"invalid Sec-WebSocket-Key header: {TOKEN}",
        quote(f"eyJ.a.{SIGNATURE}", safe=""),
    ],
)
def test_a_token_is_found_however_it_is_written(text: str) -> None:
    clean = redacted(text)
    assert "[redacted]" in clean
    assert SIGNATURE not in clean
    assert "eyJ" not in clean
    assert clean.isprintable()


def test_nothing_but_the_token_is_taken_out_of_a_long_text() -> None:
    words = "words%20" * 100
    assert redacted(f"{words}{TOKEN}") == "words " * 100 + "[redacted]"


@pytest.mark.parametrize(
    "text",
    [
        "/ws/experience",
        "/caf%C3%A9/100%25/a%0ab",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
        "proxy.server.tests.test_resets.test_who_sends_and_resets_leaves_no_file_open_and_no_failure_in_the_log",
        "/static/admin/css/base.27646af73deb9c9f27646af73deb9c9f27646af73deb9c9f.css",
        "0193b3e2-8c1a-7000-8000-000000000000.node-1.example.org",
        "eyJ",
    ],
)
def test_what_is_no_token_stays_as_it_is_written(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.timing
@pytest.mark.parametrize("unit", ["eyJ", "a.", "eyJ.", "%25", "token=", "-"])
def test_time_grows_with_the_text_and_no_faster(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = unit * (characters // len(unit))
        return min(_timed(text) for _ in range(3))

    assert seconds(160_000) < 60 * max(seconds(10_000), 1e-4)


def _timed(text: str) -> float:
    began = time.process_time()
    redacted(text)
    return time.process_time() - began


OPAQUE = "skLIVE'secret/4711==" + "x7Kq" * 60


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"KeyError: {OPAQUE!r} is none", 'KeyError: "[redacted]" is none'),
        (f"int() with base 10: {OPAQUE[:200]!r}...", 'int() with base 10: "[redacted]"...'),
        (f"GET /?session={quote(OPAQUE, safe='')}&b=1", "GET /?session=[redacted]&b=1"),
        (f"{OPAQUE}, {OPAQUE}", "[redacted], [redacted]"),
        ("skLIVE is not it", "skLIVE is not it"),
    ],
)
def test_a_secret_that_is_known_is_taken_out_however_it_is_cut_or_quoted(text: str, clean: str) -> None:
    assert without(text, OPAQUE) == clean


@pytest.mark.parametrize("secret", ["k7Q-" * 4_000, "é" * 2_000, "a'\\b" * 4_000])
def test_a_secret_as_long_as_a_head_may_be_costs_a_refusal_next_to_nothing(secret: str) -> None:
    began = time.process_time()
    for _ in range(20):
        assert without("no ticket, or an old one", secret) == "no ticket, or an old one"
    assert time.process_time() - began < 0.02
    assert without(f"no ticket {secret[50:70]}", secret) == "no ticket [redacted]"


def test_what_is_too_short_for_a_secret_is_left_and_a_pin_is_taken_out_whole() -> None:
    assert without("a cat", "a") == without("a cat", "") == "a cat"
    assert without("KeyError: '471199'", "471199") == "KeyError: '[redacted]'"
