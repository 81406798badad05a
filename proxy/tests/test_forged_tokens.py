"""Tokens that nobody issued: changed, unsigned, signed by another, or no tokens at all."""

import logging
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tests.tokens import PRIVATE, PUBLIC, SECRET, claims, issue, jwk, pem_pair
from proxy.tests.verifying import handmade, reason, segment, verifier
from proxy.tokens import MAX_TOKEN_CHARS


def test_a_wrong_key_a_changed_claim_and_a_cut_signature_break_the_signature() -> None:
    raw = issue()
    header, payload, signature = raw.split(".")
    assert reason(issue("another-key-" + "0123456789abcdef" * 3)) == "signature"
    assert reason(f"{header}.{segment(claims(sub='1'))}.{signature}") == "signature"
    assert reason(f"{header}.{payload}.{signature[:-3]}") == "signature"
    assert reason(f"{header}.{payload}.") == "signature"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 5, ["HS256"], {"a": 1}])
def test_a_token_cannot_choose_to_have_no_signature(name: Any) -> None:
    unsigned = f"{segment({'alg': name, 'typ': 'JWT'})}.{segment(claims())}."
    assert reason(unsigned) in {"algorithm", "malformed"}
    assert reason(handmade({"alg": name}, claims())) in {"algorithm", "malformed"}


def test_the_public_key_is_no_hmac_secret() -> None:
    by = verifier("RS256", signing_key="", verifying_key=pem_pair("RS256")[PUBLIC])
    assert reason(handmade({"alg": "HS256"}, claims(), key=pem_pair("RS256")[PUBLIC]), by) == "algorithm"
    assert reason(handmade({"alg": "RS256"}, claims(), key=pem_pair("RS256")[PUBLIC]), by) == "signature"


@pytest.mark.parametrize("algorithm", ["HS384", "RS256", "ES256"])
def test_only_the_algorithm_that_is_set_is_accepted(algorithm: str) -> None:
    key = SECRET if algorithm.startswith("HS") else pem_pair(algorithm)[PRIVATE]
    assert reason(issue(key, algorithm=algorithm)) == "algorithm"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "jwk": jwk("RS256", "x")},
        {"alg": "HS256", "jku": "http://127.0.0.1:1/keys"},
        {"alg": "HS256", "x5u": "http://127.0.0.1:1/keys", "kid": "../../dev/null"},
    ],
)
def test_keys_and_addresses_of_keys_inside_a_token_are_not_looked_at(header: dict[str, Any]) -> None:
    assert reason(handmade(header, claims(), key="the-attackers-own-key-" + "0" * 32)) == "signature"


@pytest.mark.parametrize(
    "raw",
    [
        "garbage", "a.b", "a.b.c", "...", "..", "a.b.c.d", "a..c", " . . ", "é.é.é", "\ud800.a.b", "a.b.c\n",
        "=" * 20, "null", f"{segment([])}.{segment([])}.{segment(b'x')}", f"{segment(b'[' * 5000)}.e30.c2ln",
        f"{segment({'alg': 'HS256', 'crit': ['b64'], 'b64': False})}.e30.c2ln",
        f"{segment({'alg': 'HS256', 'kid': 5})}.e30.c2ln", handmade({"alg": "HS256"}, ["no", "claims"]),
        handmade({"alg": "HS256", "crit": ["exp"]}, {}), handmade({"alg": "HS256"}, b"[" * 5000),
        issue() + "=",
    ],
)  # fmt: skip
def test_garbage_is_malformed(raw: str) -> None:
    assert reason(raw) == "malformed"


def test_a_huge_token_is_refused_before_anything_is_read_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("was decoded"))
    assert reason(issue(padding="x" * MAX_TOKEN_CHARS)) == "malformed"
    assert reason("a" * 10_000_000) == "malformed"


@given(st.text(max_size=80) | st.from_regex(r"\A[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{0,40}\Z"))
def test_any_text_is_refused_with_a_known_reason(raw: str) -> None:
    assert reason(raw) in {"missing", "malformed", "algorithm"}


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_token_changed_in_one_place_is_refused(position: int, character: str) -> None:
    raw = issue()
    position %= len(raw)
    if raw[position] != character:
        assert reason(raw[:position] + character + raw[position + 1 :]) in {
            "malformed",
            "signature",
            "algorithm",
        }


def test_refusing_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for raw in (issue("wrong-key-" + "0123456789abcdef" * 3), issue(exp=1), "a.b.c"):
            reason(raw)
    assert caplog.text == ""
