"""Verifiers for tests, why they refuse a token, and tokens made by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
from typing import Any

import pytest

from proxy.core.errors import TOKEN_REASONS, TokenRefused
from proxy.tests.tokens import SECRET
from proxy.tokens import Backend, TokenVerifier


def verifier(algorithm: str = "HS256", *, user_id_claim: str = "sub", **options: Any) -> TokenVerifier:
    options.setdefault("signing_key", SECRET)
    return TokenVerifier(Backend(algorithm, **options), user_id_claim=user_id_claim)


def reason(raw: str, by: TokenVerifier | None = None) -> str:
    """The reason for which `raw` is refused; it is not shown by the error, nor by what is logged of it."""
    with pytest.raises(TokenRefused) as refused:
        (by or verifier()).verify(raw)
    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + str(refused.value)
    assert not any(len(part) >= 16 and part in shown for part in raw.split("."))
    assert refused.value.__cause__ is None
    assert refused.value.message == TOKEN_REASONS[refused.value.reason]
    return refused.value.reason


def segment(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def handmade(header: dict[str, Any], payload: Any, key: str = SECRET) -> str:
    """A token signed with HMAC-SHA256 whatever its header says."""
    signing_input = f"{segment(header)}.{segment(payload)}"
    signature = hmac.new(key.encode(), signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{segment(signature)}"
