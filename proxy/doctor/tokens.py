"""Keys of tokens: can one be signed and verified, are the issuer's there, would this one be let in?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException
from urllib.error import HTTPError, URLError

from django.conf import settings

from proxy.core import judging
from proxy.core.errors import AuthenticationFailed, KeysUnavailable
from proxy.core.findings import Amiss, Finding, ok, unused, warning
from proxy.core.human import counted, duration, milliseconds
from proxy.doctor.trial import address_of, in_thread, why
from proxy.engine.jwks import KeySet, download, parse_keys
from proxy.tokens import TokenVerifier, token_verifier

KEYS, TOKEN = "token keys", "token"
NEEDS = ("SECRET_KEY", "JWT_ALGORITHM", "JWT_SIGNING_KEY", "JWT_VERIFYING_KEY", "JWT_JWKS_URL")
_SIGNED_SECONDS = 60
_NOT_THE_SET = "Is JWT_JWKS_URL that of the key set (jwks_uri), and JWT_ALGORITHM what the issuer signs with?"
_AWAY = "Can this host reach the issuer? Until it does, the gateway takes no token."
HINT = "docs/tokens.md is the guide to keys and issuers."


async def look_at_keys() -> Sequence[Finding]:
    """Raises Amiss."""
    verifier = token_verifier()
    if verifier.jwks is not None:
        return await _look_at_key_set(settings.JWT_JWKS_URL)
    algorithm = settings.JWT_ALGORITHM
    if not settings.JWT_SIGNING_KEY:
        return [ok(KEYS, f"{algorithm}: the public key is good; tokens are issued elsewhere")]
    claims = {
        "sub": "doctor",
        settings.JWT_USER_ID_CLAIM: "doctor",
        "exp": int(time.time()) + _SIGNED_SECONDS,
    }
    try:
        verifier.verify(verifier.backend.encode(claims))  # which puts in what `iss` and `aud` are to be
    except AuthenticationFailed as refused:
        raise Amiss(f"{algorithm}: a token that was signed here is refused: {refused.reason}") from None
    return [ok(KEYS, f"{algorithm}: a token was signed, and verified")]


async def _look_at_key_set(url: str) -> Sequence[Finding]:
    """Raises Amiss."""
    told: list[tuple[str | None, float]] = []
    began = time.monotonic()
    fetch = partial(download, url, on_head=lambda head: told.append((head.get("Date"), time.time())))
    try:
        body = await in_thread(fetch)
        seconds = time.monotonic() - began
        keys = parse_keys(body, algorithm=settings.JWT_ALGORITHM)
    except HTTPError as refused:
        raise Amiss(f"{address_of(url)}: answered {refused.code}", hint=_NOT_THE_SET) from None
    except URLError as error:
        reason = error.reason if isinstance(error.reason, OSError) else error
        raise Amiss(f"{address_of(url)}: {why(reason)}", hint=_AWAY) from None
    except OSError as error:
        raise Amiss(f"{address_of(url)}: {why(error)}", hint=_AWAY) from None
    except (ValueError, HTTPException) as error:
        raise Amiss(f"{address_of(url)}: {why(error)}", hint=_NOT_THE_SET) from None
    clock = [_clock(date, at, seconds) for date, at in told[:1] if date]
    return [_keys(keys, f"{address_of(url)} answers in {milliseconds(seconds)}"), *clock]


def _keys(found: KeySet, at: str) -> Finding:
    seen = f"{settings.JWT_ALGORITHM}: {counted(len(found.keys), 'key')} of {at}"
    if found.broken:
        return warning(
            KEYS, f"{seen}; {'; '.join(found.broken)}", "Tell the issuer: those entries are left out."
        )
    return ok(KEYS, seen)


def _clock(date: str, at: float, seconds: float) -> Finding:
    """A Date header says seconds, without their fractions."""
    try:
        theirs = parsedate_to_datetime(date).timestamp() + 0.5
    except ValueError:
        return unused("issuer clock", f"its Date cannot be read: {date}")
    return judging.clock("issuer clock", ahead_seconds=theirs - at, unsure_seconds=0.5 + seconds / 2)


async def look_at_token(raw: str) -> Sequence[Finding]:
    """Whether a client would come in with `raw`, which is never shown."""
    return [await _verified(token_verifier(), raw.strip())]


async def _verified(verifier: TokenVerifier, raw: str) -> Finding:
    fetching = None
    if verifier.jwks is not None:
        fetching = asyncio.create_task(verifier.jwks.run(), name="doctor:jwks")
        await verifier.jwks.first_fetch(within_seconds=5)
    try:
        principal = verifier.verify(raw)
    except AuthenticationFailed as refused:
        return judging.refused_token(TOKEN, refused.reason)
    except KeysUnavailable as away:
        if verifier.jwks is not None and verifier.jwks.is_ready:  # and was asked just now
            return judging.refused_token(TOKEN, "unknown_key")
        raise Amiss(f"cannot be verified: {away}") from None
    finally:
        if fetching is not None:
            fetching.cancel()
            with suppress(asyncio.CancelledError):
                await fetching
    left = duration((principal.expires_at or 0) - time.time())
    return ok(TOKEN, f"is that of user {principal.user_id}, for {left} more")
