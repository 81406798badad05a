"""Keys and tokens for tests."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

SECRET = "a-signing-key-for-tests-only-" + "0123456789abcdef" * 3
PRIVATE, PUBLIC = 0, 1


@cache
def pem_pair(algorithm: str, serial: int = 0) -> tuple[str, str]:
    """(private, public) PEM texts for RS256 or ES256; another `serial` makes another pair."""
    key: Any = (
        rsa.generate_private_key(65537, 2048)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def jwk(
    algorithm: str, kid: str | None, serial: int = 0, *, private: bool = False, **extra: Any
) -> dict[str, Any]:
    """The JSON Web Key of `pem_pair(algorithm, serial)`: the public one, or `private`."""
    pem = pem_pair(algorithm, serial)[PRIVATE if private else PUBLIC]
    implementation = jwt.get_algorithm_by_name(algorithm)
    entry = implementation.to_jwk(implementation.prepare_key(pem), as_dict=True)
    return {**entry, **({} if kid is None else {"kid": kid}), **extra}


def key_set(*entries: dict[str, Any]) -> bytes:
    """The document that an issuer serves its keys in."""
    return json.dumps({"keys": entries}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Valid claims of user 42, with `changes`; a value of None leaves the claim out."""
    now = int(time.time())
    full = {"token_type": "access", "exp": now + 600, "iat": now, "jti": "j1", "sub": "42", **changes}
    return {name: value for name, value in full.items() if value is not None}


def issue(
    key: str = SECRET, *, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any
) -> str:
    """A signed token of `claims(**changes)`."""
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)
