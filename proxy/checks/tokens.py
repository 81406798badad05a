"""What is wrong with the keys that tokens are verified with."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004  Django's name

from proxy.checks.start import is_this_machine

# RFC 7518, section 3.2: a key as long as the hash, or the hash is not what has to be guessed.
_LEAST_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# Clocks that are kept differ by less; what is more only lengthens each token's life.
_MOST_LEEWAY_SECONDS = 300


@register(Tags.security)
def check_signing_key_length(**_: Any) -> list[CheckMessage]:
    """gateway.E001, or W001 with DEBUG: who holds one token can guess a short key offline."""
    least_bytes = _LEAST_KEY_BYTES.get(settings.JWT_ALGORITHM, 0)
    if len(settings.JWT_SIGNING_KEY.encode()) >= least_bytes:
        return []
    text = f"JWT_SIGNING_KEY is shorter than the {least_bytes} bytes that {settings.JWT_ALGORITHM} needs."
    hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(64))'"
    kind, identity = (Warning, "gateway.W001") if settings.DEBUG else (Error, "gateway.E001")
    return [kind(text, hint=hint, id=identity)]


@register(Tags.security, deploy=True)
def check_signing_key_is_its_own(**_: Any) -> list[CheckMessage]:
    """gateway.W002: who may issue tokens should not learn the key that signs staff's sessions."""
    if settings.JWT_SIGNING_KEY != settings.SECRET_KEY:
        return []
    text = "JWT_SIGNING_KEY is the same as SECRET_KEY."
    hint = "Set JWT_SIGNING_KEY to a key of its own, known to the gateway and to whoever issues the tokens."
    return [Warning(text, hint=hint, id="gateway.W002")]


@register(Tags.security, deploy=True)
def check_jwks_comes_over_tls(**_: Any) -> list[CheckMessage]:
    """gateway.W005."""
    url = urlsplit(settings.JWT_JWKS_URL)
    if url.scheme != "http" or is_this_machine(url.hostname or ""):
        return []
    text = "JWT_JWKS_URL is fetched without TLS: whoever is on the way can put their own key there."
    return [Warning(text, hint="Use an https:// address.", id="gateway.W005")]


@register(Tags.security, deploy=True)
def check_jwks_tokens_are_for_us(**_: Any) -> list[CheckMessage]:
    """gateway.W006."""
    if not settings.JWT_JWKS_URL or settings.JWT_AUDIENCE:
        return []
    text = (
        "JWT_AUDIENCE is unset: tokens with `aud` are refused, and all others of the issuer are accepted, "
        "whichever application they were made for."
    )
    hint = "Have the issuer put `aud` into tokens, and set JWT_AUDIENCE to it."
    return [Warning(text, hint=hint, id="gateway.W006")]


@register(Tags.security, deploy=True)
def check_leeway_is_for_clocks(**_: Any) -> list[CheckMessage]:
    """gateway.W022."""
    if settings.JWT_LEEWAY_SECONDS <= _MOST_LEEWAY_SECONDS:
        return []
    text = (
        f"JWT_LEEWAY_SECONDS is {settings.JWT_LEEWAY_SECONDS:g}: each token lives for so long beyond its end."
    )
    hint = "Clocks that are kept differ by seconds. `manage.py doctor` says by how many this one does."
    return [Warning(text, hint=hint, id="gateway.W022")]


@register(Tags.security, deploy=True)
def check_private_key_is_needed(**_: Any) -> list[CheckMessage]:
    """gateway.I005."""
    if settings.JWT_ALGORITHM.startswith("HS") or not settings.JWT_SIGNING_KEY:
        return []
    text = "JWT_SIGNING_KEY is set: whoever takes over a gateway can issue tokens."
    hint = f"Only `issue_token` needs it. Unset it here: {settings.JWT_ALGORITHM} is verified without it."
    return [Info(text, hint=hint, id="gateway.I005")]
