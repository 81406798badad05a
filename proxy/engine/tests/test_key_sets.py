"""Which keys of an issuer's key set are usable, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.engine.jwks import MAX_KEYS, parse_keys
from proxy.tests.tokens import jwk, key_set


def test_keys_are_kept_by_their_id() -> None:
    keys = parse_keys(key_set(jwk("ES256", "a"), jwk("ES256", "b", serial=1)), algorithm="ES256")
    assert sorted(keys.keys) == ["a", "b"]
    assert keys.broken == ()


FOR_SOMETHING_ELSE: list[dict[str, Any]] = [
    jwk("RS256", "x"),
    jwk("ES256", "x", use="enc"),
    jwk("ES256", "x", alg="ES384"),
    jwk("ES256", "x", alg=["ES256"]),
    jwk("ES256", "x", crv="P-384"),
    {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
    {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "x"},
    {"kty": ["EC"], "kid": "x"},
    {"kid": "x"},
    {},
]
BROKEN: list[tuple[Any, str]] = [
    (None, "no object"),
    (5, "no object"),
    ("key", "no object"),
    ([], "no object"),
    (jwk("ES256", "x", private=True), "a private key"),
    ({**jwk("ES256", "x"), "x": "AAAA"}, "its numbers make no key"),
    ({**jwk("ES256", "x"), "x": None}, "its numbers make no key"),
    ({**jwk("ES256", "x"), "y": {"a": 1}}, "its numbers make no key"),
    (jwk("ES256", "a", serial=1), "the id of a key before it"),
]


@pytest.mark.parametrize("other", FOR_SOMETHING_ELSE)
def test_a_key_for_something_else_is_left_out_in_silence(other: dict[str, Any]) -> None:
    found = parse_keys(key_set(other, jwk("ES256", "a"), other), algorithm="ES256")
    assert (list(found.keys), found.broken) == (["a"], ())
    with pytest.raises(ValueError, match="no key for ES256"):
        parse_keys(key_set(other), algorithm="ES256")


@pytest.mark.parametrize(("other", "why"), BROKEN)
def test_an_entry_that_is_broken_is_named_and_spoils_no_other(other: Any, why: str) -> None:
    good = jwk("ES256", "a")
    found = parse_keys(key_set(good, other, jwk("ES256", "b", serial=2)), algorithm="ES256")
    assert sorted(found.keys) == ["a", "b"]
    assert found.broken == (f"entry 1: {why}",)
    assert (
        found.keys["a"].public_numbers()
        == parse_keys(key_set(good), algorithm="ES256").keys["a"].public_numbers()
    )


def test_a_key_whose_id_is_null_has_none() -> None:
    assert list(parse_keys(key_set({**jwk("ES256", None), "kid": None}), algorithm="ES256").keys) == [""]


def test_a_weak_rsa_key_is_left_out() -> None:
    weak = {**jwk("RS256", "weak"), "n": "yMPSKHXp4AiFEI4vyoMgTtCRVnbYaTVQgn_pMqqzzk1z"}
    found = parse_keys(key_set(jwk("RS256", "a"), weak), algorithm="RS256")
    assert (list(found.keys), found.broken) == (["a"], ("entry 1: fewer than 2048 bits",))


def test_an_unusable_key_does_not_hide_a_usable_one_of_the_same_id() -> None:
    for others in ([jwk("ES256", "a", use="enc")], [{**jwk("ES256", "a"), "x": "AAAA"}]):
        for entries in ([jwk("ES256", "a"), *others], [*others, jwk("ES256", "a")]):
            assert list(parse_keys(key_set(*entries), algorithm="ES256").keys) == ["a"]


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"keys":5}', b'{"keys":[5]}', b"\xff", b"<html>", b"[" * 100_000]
)
def test_what_is_no_key_set_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json's own errors are ValueErrors too
        parse_keys(body, algorithm="ES256")


def test_no_more_keys_are_read_than_an_issuer_could_need() -> None:
    entries = [{"kty": "oct"}] * MAX_KEYS + [jwk("ES256", "a")]
    with pytest.raises(ValueError, match="no key"):
        parse_keys(key_set(*entries), algorithm="ES256")
