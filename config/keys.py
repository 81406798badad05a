"""Readers of the keys that sign and verify tokens. A wrong key stops the start, not every handshake."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jwt

from config.parsers import read_url
from proxy.env import Env, SettingError

MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """What signs and verifies tokens; "" for what is not set. Exactly one of the three verifies."""

    signing: str = field(default="", repr=False)
    verifying: str = field(default="", repr=False)
    jwks_url: str = field(default="", repr=False)


def read_token_keys(env: Env, *, algorithm: str, secret_key: str) -> TokenKeys:
    """The keys of JWT_SIGNING_KEY, JWT_VERIFYING_KEY and JWT_JWKS_URL, checked against `algorithm`.

    HS… signs and verifies with one shared text, by default `secret_key`. RS256 and ES256 verify with a public
    key or with those of a JWKS; a signing key is needed only to issue tokens here.
    """
    shared = algorithm.startswith("HS")
    parse = partial(_shared_key if shared else _private_key, algorithm=algorithm)
    expected = "a long random text, not a PEM key" if shared else f"a PEM private key for {algorithm}"
    signing = env.secret("JWT_SIGNING_KEY", secret_key if shared else "", parse=parse, expected=expected)
    parse = partial(_public_key, algorithm=algorithm)
    verifying = env.secret("JWT_VERIFYING_KEY", parse=parse, expected=f"a PEM public key for {algorithm}")
    jwks_url = read_url(env, "JWT_JWKS_URL", ("http", "https"))
    for name, value in (("JWT_VERIFYING_KEY", verifying), ("JWT_JWKS_URL", jwks_url)):
        if shared and value:
            env.amiss(SettingError(name, f"unset for {algorithm}, which verifies with JWT_SIGNING_KEY"), None)
    if not shared and bool(verifying) is bool(jwks_url):
        expected = f"set for {algorithm}, or else JWT_JWKS_URL, but not both"
        env.amiss(SettingError("JWT_VERIFYING_KEY", expected), None)
    if not shared and signing and verifying and not _are_a_pair(signing, verifying, algorithm):
        env.amiss(SettingError("JWT_VERIFYING_KEY", "the public key of JWT_SIGNING_KEY"), None)
    return TokenKeys(signing, verifying, jwks_url)


def _shared_key(raw: str, *, algorithm: str) -> str:
    """`raw`, unless it is a PEM key: no secret to share."""
    _prepared(raw, algorithm)
    return raw


def _private_key(raw: str, *, algorithm: str) -> str:
    pem = _with_line_breaks(raw)
    if not hasattr(_prepared(pem, algorithm), "private_bytes"):
        raise ValueError("not a private key")
    return pem


def _public_key(raw: str, *, algorithm: str) -> str:
    if algorithm.startswith("HS"):
        return raw  # refused by the caller, who knows better why
    pem = _with_line_breaks(raw)
    if hasattr(_prepared(pem, algorithm), "private_bytes"):
        raise ValueError("a private key, where only the public one belongs")
    return pem


def _are_a_pair(private: str, public: str, algorithm: str) -> bool:
    numbers: bool = (
        _prepared(private, algorithm).public_key().public_numbers()
        == _prepared(public, algorithm).public_numbers()
    )
    return numbers


def _with_line_breaks(raw: str) -> str:
    r"""`raw` with each written-out `\n` as a line break: some environment files can hold no other."""
    return raw.replace("\\n", "\n")


def _prepared(raw: str, algorithm: str) -> Any:
    try:
        key = jwt.get_algorithm_by_name(algorithm).prepare_key(raw)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ValueError(f"no key for {algorithm}") from None
    if algorithm.startswith("RS") and key.key_size < MIN_RSA_BITS:
        raise ValueError(f"shorter than {MIN_RSA_BITS} bits")
    return key
